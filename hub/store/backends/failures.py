"""Every way in which Redis can fail, in plain words: the one table from error to phrase.

Phrases are logged and shown by `/ready`, so they never repeat what was sent: error texts that quote
arguments are cut before the quotation.
"""

from __future__ import annotations

import asyncio
import re

from redis import exceptions

from hub.errors import HubError


class StoreError(HubError):
    """Redis cannot be used as it is; the sentence says why, and what to do."""


class StoreUnavailableError(StoreError):
    """Redis could not be asked; a retry may work. `str` is one plain phrase."""


STOPPING = "the hub is stopping"

_PHRASES = {
    "READONLY": "Redis is read-only: it is a replica, writes go to the primary",
    "OOM": "Redis is full: its maxmemory is reached",
    "MISCONF": "Redis refuses writes because it cannot save to its disk",
    "NOREPLICAS": "Redis refuses writes because it has too few replicas",
    "LOADING": "Redis is still loading its data",
    "BUSY": "Redis is busy with a script of someone else",
    "MASTERDOWN": "Redis is a replica that has lost its primary",
    "NOAUTH": "Redis asks for a password",
    "WRONGPASS": "Redis does not accept the user name or password",
    "NOPERM": "the Redis user lacks the permission for a command or key that is needed",
    "CLUSTERDOWN": "the Redis Cluster is down",
    "TRYAGAIN": "the Redis Cluster is moving these keys to another node",
    "MOVED": "another node of the Redis Cluster owns these keys",
    "ASK": "the Redis Cluster is moving these keys to another node",
    "CROSSSLOT": "the Redis server is part of a Redis Cluster, and its URL does not say so",
}
"""Phrases by the code that Redis puts before an error."""

# redis-py removes the code from an error for which it has a class. The first match counts.
_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
)

# Before version 7, an error inside a script comes wrapped: `ERR Error running script …: -CODE …`.
_CODE = re.compile(r"(?:^|[\s:]-)(" + "|".join(_PHRASES) + r")\b")
_OURS = re.compile(r"\bHOMEPORT (.*?)(?: script: .*)?$", re.DOTALL)
_QUOTED = re.compile(r",? with args beginning with.*$", re.DOTALL)

_LONGEST = 200


def reason_of(error: BaseException) -> str:
    """One plain phrase for a failed command, without secrets."""
    if isinstance(error, asyncio.CancelledError):
        return STOPPING
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return "Redis does not answer in time"
    cause = error.__cause__
    if type(error) is exceptions.ConnectionError and isinstance(cause, exceptions.RedisError):
        # redis-py wraps an error of the handshake on a unix socket in this way.
        return reason_of(cause)
    text = str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return _PHRASES[code]
    if isinstance(error, exceptions.AuthenticationError):
        # One class for a wrong password, an unexpected one and a missing one.
        given = any(word in text for word in ("invalid", "without any password", "no password"))
        return _PHRASES["WRONGPASS" if given else "NOAUTH"]
    if isinstance(error, exceptions.ConnectionError | OSError):
        return _unreachable(text)
    if isinstance(error, exceptions.ResponseError):
        return _refused(text)
    return f"an error in the hub itself ({type(error).__name__})"


def is_bug(error: BaseException) -> bool:
    """Whether neither Redis nor the network is the cause, so that a traceback should be logged."""
    return not isinstance(
        error, asyncio.CancelledError | OSError | exceptions.RedisError | StoreError
    )


def _unreachable(text: str) -> str:
    lowered = text.lower()
    if "max number of clients" in lowered:
        return "Redis has no room for another client"
    if "certificate" in lowered or "ssl" in lowered:
        return "no secure connection to Redis: TLS was refused"
    if "name or service" in lowered or "nodename" in lowered or "name resolution" in lowered:
        return "Redis cannot be reached: its host name is not known"
    return "Redis cannot be reached"


def _refused(text: str) -> str:
    ours = _OURS.search(text)
    if ours is not None:
        return ours[1]
    code = _CODE.search(text)
    if code is not None:
        return _PHRASES[code[1]]
    return f"Redis refused a command: {_QUOTED.sub('', text)[:_LONGEST]}"
