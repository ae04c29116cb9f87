"""From a URL to a backend whose every setting is chosen, none left to a library's default."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import fakeredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.logs import redact_text
from hub.store.backend import Backend
from hub.store.failures import StoreError
from hub.store.standalone import Standalone

MEMORY = "memory://"
DEFAULT_TIMEOUT = 1.0
"""Seconds that one command may take."""

_SCHEMES = ("redis", "rediss", "unix", "memory")
_FORMS = "redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH and memory:// are understood"


async def connect(
    url: str, *, hub_id: str, command_timeout: float = DEFAULT_TIMEOUT, **options: Any
) -> Backend:
    """The servers behind `url`; nothing is sent yet, so a server that is away is no error here.

    `memory://` is a private, empty server inside this process; it keeps nothing. `options` are
    redis-py's own (`ssl_ca_certs`, say). The caller ends it with `aclose`. Raises StoreError for
    a URL that cannot be used.
    """
    settings: dict[str, Any] = {
        "decode_responses": False,
        # A command that timed out may have been applied: whoever knows what it was decides.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": command_timeout,
        # The store renews its lease every few seconds, and so notices a dead connection.
        "health_check_interval": 0,
        "protocol": 3,
        **options,
    }
    if url == MEMORY:
        # All connections of this client share the one server that it is given.
        memory = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), **settings)
        return Standalone(memory, command_timeout)
    scheme = _check(url)
    settings = {"client_name": f"homeport:{hub_id}", **settings}
    if scheme != "unix":
        settings = {
            "socket_connect_timeout": command_timeout,
            "socket_keepalive": True,
            **_without_maintenance(),
            **settings,
        }
    try:
        client = Redis.from_url(url, **settings)
        # Not connected, but made, so that a setting which does not exist is told of now.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The library's own words may quote the password.
        raise _unusable(url) from None
    return Standalone(client, command_timeout)


def _check(url: str) -> str:
    """The URL's scheme; raises StoreError when it is none of ours or names no server."""
    try:
        parts = urlsplit(url)
        scheme, place = parts.scheme, parts.path if parts.scheme == "unix" else parts.hostname
        _ = parts.port  # raises for a port that is no number
    except ValueError:
        scheme, place = "", None
    if scheme not in _SCHEMES or scheme == "memory" or not place:
        raise _unusable(url)
    return scheme


def _unusable(url: str) -> StoreError:
    # What is no URL at all may still hold a password, and nobody can tell where.
    shown = f"URL {redact_text(url)}" if "://" in url else "setting"
    return StoreError(f"the Redis {shown} cannot be used: {_FORMS}")


def _without_maintenance() -> dict[str, Any]:
    """Newer versions of redis-py ask a server for notices that we have no use for."""
    try:
        from redis.maint_notifications import (  # noqa: PLC0415 - older versions lack the module
            MaintNotificationsConfig,
        )
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
