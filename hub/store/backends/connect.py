"""From a URL to a backend whose every setting is chosen, none left to a library's default."""

from __future__ import annotations

from typing import Any, assert_never
from urllib.parse import urlsplit

from redis.asyncio import Connection, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.settings.redis_url import SeveralServers, complaint, is_redis_url, several_servers
from hub.store.backends.backend import Backend
from hub.store.backends.cluster import Cluster
from hub.store.backends.dialer import Dialer
from hub.store.backends.failures import StoreError
from hub.store.backends.sentinel import SentinelPrimary
from hub.store.backends.standalone import Standalone
from hub.telemetry.logs import redact_text

MEMORY = "memory://"
DEFAULT_TIMEOUT = 1.0
"""Seconds that one command may take."""


class UnusableUrlError(StoreError):
    """The URL can be no store's, whatever servers there are."""

    status = 2


async def connect(
    url: str, *, hub_id: str, command_timeout: float = DEFAULT_TIMEOUT, **options: Any
) -> Backend:
    """The servers behind `url`; nothing is sent yet, so a server that is away is no error here.

    `memory://` is a private, empty server inside this process; it keeps nothing. `options` are
    redis-py's own (`ssl_ca_certs`, say). The caller ends it with `aclose`. Raises
    UnusableUrlError.
    """
    return backend_of(url, hub_id=hub_id, command_timeout=command_timeout, **options)


def backend_of(
    url: str, *, hub_id: str = "", command_timeout: float = DEFAULT_TIMEOUT, **options: Any
) -> Backend:
    """The same for who has no loop, and only wants to know whether the URL can be used."""
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
        # Imported here alone, because it costs a hub 16 MB and 0.1 s. All connections of this
        # client share the one server that it is given.
        import fakeredis  # noqa: PLC0415

        memory = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), **settings)
        return Standalone(memory, command_timeout)
    settings = {"client_name": f"homeport:{hub_id}", **settings}
    network = {
        "socket_connect_timeout": command_timeout,
        "socket_keepalive": True,
        **_without_maintenance(),
    }
    several = several_servers(url)
    try:
        if several is not None:
            return _several(several, {**network, **settings}, command_timeout)
        if urlsplit(_checked(url)).scheme != "unix":
            settings = {**network, **settings}
        client = Redis.from_url(url, **settings)
        # Not connected, but made, so that a setting which does not exist is told of now.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The library's own words may quote the password.
        raise _unusable(url) from None
    return Standalone(client, command_timeout)


def _several(url: SeveralServers, settings: dict[str, Any], timeout: float) -> Backend:
    """Raises ValueError or TypeError for options that are none."""
    given: dict[str, Any] = {**settings, **parse_url(url.data_url)}
    given.pop("host")
    connection_class = given.pop("connection_class", Connection)
    servers = Dialer(connection_class, given)
    servers.make(url.addresses[0])  # not connected: see above
    match url.kind:
        case "cluster":
            return Cluster(url.addresses, servers, timeout)
        case "sentinel":
            # Sentinels have no database, and their own logins.
            not_theirs = ("db", "username", "password")
            theirs = {name: given[name] for name in given if name not in not_theirs}
            return SentinelPrimary(
                url.primary,
                url.addresses,
                ask_sentinel=Dialer(connection_class, {**theirs, **url.login}),
                dial_primary=servers,
                timeout=timeout,
            )
        case _:
            assert_never(url.kind)


def _checked(url: str) -> str:
    """The URL of one server; raises ValueError when it is none of ours or names no server."""
    parts = urlsplit(url)
    place = parts.path if parts.scheme == "unix" else parts.hostname
    _ = parts.port  # raises for a port that is no number
    if parts.scheme not in ("redis", "rediss", "unix") or not place:
        raise ValueError
    return url


def _unusable(url: str) -> UnusableUrlError:
    if is_redis_url(url):
        return UnusableUrlError(
            f"the Redis URL {redact_text(url)} cannot be used; what follows its ? has an option "
            "that does not exist, or a value that it cannot have"
        )
    # What is no URL at all may still hold a password, and nobody can tell where.
    shown = f"URL {redact_text(url)}" if "://" in url else "setting"
    return UnusableUrlError(f"the Redis {shown} cannot be used; {complaint(url)}")


def _without_maintenance() -> dict[str, Any]:
    """Newer versions of redis-py ask a server for notices that we have no use for."""
    try:
        from redis.maint_notifications import (  # noqa: PLC0415 - older versions lack the module
            MaintNotificationsConfig,
        )
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
