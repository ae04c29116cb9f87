"""Every way in which Redis can fail, in plain words: the one table from error to phrase.

Phrases are logged and shown by `/ready`, so they never repeat what was sent: error texts that quote
arguments are cut before the quotation.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re

from redis import exceptions

from hub.errors import HubError


class StoreError(HubError):
    """Redis cannot be used as it is; the sentence says why, and what to do."""


class StoreUnavailableError(StoreError):
    """Redis could not be asked; a retry may work. `str` is one plain phrase."""


class WrongTypeError(StoreUnavailableError):
    """A command met a key of another type than its own."""


STOPPING = "the hub is stopping"

_PHRASES = {
    "READONLY": "Redis is read-only: it is a replica, writes go to the primary, whose address (or "
    "that of its Sentinels) --redis should have",
    "OOM": "Redis is full: its maxmemory is reached; raise it, or remove other data",
    "MISCONF": "Redis refuses writes because it cannot save to its disk: free space there; its log "
    "file says more",
    "NOREPLICAS": "Redis refuses writes because it has too few replicas: start them, or lower its "
    "min-replicas-to-write",
    "LOADING": "Redis is still loading its data: wait until it has",
    "BUSY": "Redis is busy with a script of someone else: wait, or end it with SCRIPT KILL",
    "MASTERDOWN": "Redis is a replica that has lost its primary: --redis should have the primary's "
    "address, or that of its Sentinels",
    "NOAUTH": "Redis asks for a password: give it in --redis, as redis://USER:PASSWORD@HOST:PORT",
    "WRONGPASS": "Redis does not accept the user name or password: check those in --redis",
    "DENIED": "Redis is in protected mode and answers only its own machine: set a password for it, "
    "and give it in --redis",
    "NOPERM": "the Redis user lacks the permission for a command or key that is needed: allow all "
    "that the reference lists under Permissions in Redis",
    "WRONGTYPE": "a Redis key holds another type than a hub writes there: `homeport repair` finds "
    "it and sets it aside",
    "CLUSTERDOWN": "the Redis Cluster is down",
    "TRYAGAIN": "the Redis Cluster is moving these keys to another node",
    "MOVED": "another node of the Redis Cluster owns these keys",
    "ASK": "the Redis Cluster is moving these keys to another node",
    "CROSSSLOT": "the Redis server is part of a Redis Cluster, and its URL does not say so",
    "NODATABASE": "Redis has no database of this number: give a smaller one in --redis, or "
    "raise its setting `databases`",
}
"""Phrases by the code that Redis puts before an error, or that stands for one without a code."""

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
_DENIED = re.compile(
    r"(?:User (?P<user>\S+)|this user) has no permissions to run the '(?P<command>[\w|-]+)' command"
)
_DENIED_IN_SCRIPT = re.compile(
    r"ACL failure in script|can't run this command|can't access at least one of the keys"
)
_UNKNOWN = re.compile(r"unknown (?:redis )?command(?: '(?P<command>[\w|-]+)')?", re.IGNORECASE)
_NO_DATABASE = re.compile(r"DB index is out of range|invalid DB index", re.IGNORECASE)
_CONNECTING = re.compile(r"^Error (?:Multiple exceptions: \[Errno )?(\d+)\b.*\bconnecting to ")
_NO_SOCKET = (errno.ENOENT, errno.ENOTDIR)
_NO_AUTHORITY = (
    "Redis shows a certificate of an authority that is not known: name its file in --redis, as "
    "?ssl_ca_certs=FILE"
)
_NO_CLIENT = (
    "Redis asks for a client certificate that it knows: name its files in --redis, as "
    "?ssl_certfile=FILE&ssl_keyfile=FILE"
)
_NO_TLS = "what answers there does not speak TLS: write redis instead of rediss in --redis"
_TLS_REFUSED = "no secure connection to Redis: TLS was refused"
_TLS = (
    ("mismatch", "Redis shows a certificate that is not for the host name in --redis"),
    ("has expired", "Redis shows a certificate that has run out: renew it"),
    ("certificate verify failed", _NO_AUTHORITY),
    ("certificate required", _NO_CLIENT),
    ("alert bad certificate", _NO_CLIENT),
    ("alert unknown ca", _NO_CLIENT),
    ("alert handshake failure", _NO_CLIENT),
    ("wrong version number", _NO_TLS),
    ("record layer failure", _NO_TLS),
)
"""Phrases by a sign in the text of the error, the first of which counts."""
_ELSEWHERE = frozenset(
    ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK")
)
"""Codes of a server that may have been replaced by another one."""
_FOR_A_PERSON = frozenset(("NOAUTH", "WRONGPASS", "DENIED", "NOPERM", "CROSSSLOT", "NODATABASE"))
"""Codes that stay until a person changes something."""
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
    denied = _DENIED.search(text)
    if denied is not None:
        return not_allowed([denied["command"]], user=denied["user"])
    code = _code_of(error)
    if code is not None:
        return _PHRASES[code]
    if isinstance(error, exceptions.InvalidResponse):
        return "what answers there is no Redis: another program has this address"
    if isinstance(error, exceptions.ConnectionError | OSError):
        return _unreachable(text)
    if isinstance(error, exceptions.ResponseError):
        return _refused(text)
    return f"an error in the hub itself ({type(error).__name__})"


def not_allowed(commands: list[str], *, user: str | None = None) -> str:
    """The phrase for commands that a Redis user may not run."""
    names = ", ".join(command.upper().replace("|", " ") for command in commands)
    rules = " ".join(f"+{command.lower()}" for command in commands)
    return f"the Redis user may not run {names}: allow it with ACL SETUSER {user or 'NAME'} {rules}"


def not_saved() -> str:
    """The phrase for a server that cannot write its data to its disk."""
    return _PHRASES["MISCONF"]


def not_known(commands: list[str]) -> str:
    """The phrase for commands that a server does not have, or has under another name."""
    names = ", ".join(command.upper().replace("|", " ") for command in commands)
    return (
        f"Redis does not know {names}, which a hub needs: do not disable or rename it "
        "(rename-command)"
    )


def is_denied(error: BaseException) -> bool:
    """Whether the Redis user lacks a permission."""
    return _code_of(error) == "NOPERM" or _DENIED.search(str(error)) is not None


def needs_a_person(error: BaseException) -> bool:
    """Whether a retry is of no use before somebody has changed a setting, here or in Redis."""
    if is_denied(error) or _code_of(error) in _FOR_A_PERSON:
        return True
    return isinstance(error, exceptions.ResponseError) and _UNKNOWN.search(str(error)) is not None


def is_wrong_type(error: BaseException) -> bool:
    """Whether a command met a key of another type than its own."""
    return _code_of(error) == "WRONGTYPE"


def is_stored(error: BaseException) -> bool:
    """Whether something that is stored is the cause, and no setting or server."""
    return is_wrong_type(error) or (
        isinstance(error, exceptions.ResponseError) and _OURS.search(str(error)) is not None
    )


def may_be_replaced(error: BaseException) -> bool:
    """Whether other connections may lead to the wrong server, or to none, as this one did."""
    if not isinstance(error, exceptions.ResponseError) or is_bug(error):
        return True
    return _code_of(error) in _ELSEWHERE


def _code_of(error: BaseException) -> str | None:
    """The code in `_PHRASES` of an error; None when it has none of them."""
    cause = error.__cause__
    if type(error) is exceptions.ConnectionError and isinstance(cause, exceptions.RedisError):
        return _code_of(cause)  # see `reason_of`
    text = str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, exceptions.AuthenticationError):
        # One class for a wrong password, an unexpected one and a missing one.
        given = any(word in text for word in ("invalid", "without any password", "no password"))
        return "WRONGPASS" if given else "NOAUTH"
    if isinstance(error, exceptions.ResponseError | exceptions.ConnectionError):
        if _OURS.search(text) is not None:
            return None
        if _DENIED_IN_SCRIPT.search(text) is not None:
            return "NOPERM"
        if _NO_DATABASE.search(text) is not None:
            return "NODATABASE"
        found = _CODE.search(text)
        return None if found is None else found[1]
    return None


def is_bug(error: BaseException) -> bool:
    """Whether neither Redis nor the network is the cause, so that a traceback should be logged."""
    return not isinstance(
        error, asyncio.CancelledError | OSError | exceptions.RedisError | StoreError
    )


def _unreachable(text: str) -> str:
    lowered = text.lower()
    if "max number of clients" in lowered:
        return "Redis has no room for another client: raise its maxclients, or end some of them"
    if "certificate" in lowered or "ssl" in lowered:
        return next((words for sign, words in _TLS if sign in lowered), _TLS_REFUSED)
    if "name or service" in lowered or "nodename" in lowered or "name resolution" in lowered:
        return "Redis cannot be reached: its host name is not known"
    number = _CONNECTING.search(text)
    if number is None:
        return "Redis cannot be reached"
    why = int(number[1])
    words = "no such socket" if why in _NO_SOCKET else os.strerror(why).lower()
    return f"Redis cannot be reached: {words}"


def _refused(text: str) -> str:
    ours = _OURS.search(text)
    if ours is not None:
        return ours[1]
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        return not_known([unknown["command"] or "a command"])
    return f"Redis refused a command: {_QUOTED.sub('', text)[:_LONGEST]}"
