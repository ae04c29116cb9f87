"""From a URL to a backend; every setting is chosen here, and none left to a library's default."""

from __future__ import annotations

from typing import Any, assert_never
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Connection, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.settings.redis_url import SeveralServers, complaint, is_redis_url, several_servers
from hub.store.backends.backend import Backend
from hub.store.backends.cluster import Cluster
from hub.store.backends.dialer import Dialer
from hub.store.backends.failures import StoreError
from hub.store.backends.lane import FAR
from hub.store.backends.sentinel import SentinelPrimary
from hub.store.backends.standalone import Standalone
from hub.telemetry.logs import redact_text

MEMORY = "memory://"
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Options that are paths of files."""

DEFAULT_TIMEOUT = 1.0
"""Seconds that one command may take, at a server that is not far away."""


class UnusableUrlError(StoreError):
    """The URL cannot be used, whatever servers there are."""

    status = 2


async def connect(
    url: str, *, hub_id: str, command_timeout: float = DEFAULT_TIMEOUT, **options: Any
) -> Backend:
    """The servers behind `url`; nothing is sent yet, so unreachable servers are not an error here.

    `memory://` is a private, empty server inside this process; it keeps nothing. `options` are
    options of redis-py (`ssl_ca_certs`, say). The caller closes the backend with `aclose`. Raises
    UnusableUrlError.
    """
    return backend_of(url, hub_id=hub_id, command_timeout=command_timeout, **options)


def backend_of(
    url: str, *, hub_id: str = "", command_timeout: float = DEFAULT_TIMEOUT, **options: Any
) -> Backend:
    """As `connect`, without a loop: to check whether the URL can be used. Raises as it does."""
    settings: dict[str, Any] = {
        "decode_responses": False,
        # A command that timed out may have been applied: the store decides what to do then.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": FAR * command_timeout,
        # The store renews its lease every few seconds, which reveals a dead connection.
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
        "socket_connect_timeout": FAR * command_timeout,
        "socket_keepalive": True,
        **_without_maintenance(),
    }
    several = several_servers(url)
    if url.startswith("rediss") and "ssl_cert_reqs=none" not in url:
        settings = {"ssl_check_hostname": True, **settings}  # older versions leave it out
    try:
        _check_files(url)
        if several is not None:
            return _several(several, {**network, **settings}, command_timeout)
        if urlsplit(_checked(url)).scheme != "unix":
            settings = {**network, **settings}
        client = Redis.from_url(url, **settings)
        # Made but not connected, so that an unknown setting is an error now.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The library's message may quote the password.
        raise _unusable(url) from None
    return Standalone(client, command_timeout)


def _several(url: SeveralServers, settings: dict[str, Any], timeout: float) -> Backend:
    """The backend for several servers; raises ValueError or TypeError for invalid options."""
    given: dict[str, Any] = {**settings, **parse_url(url.data_url)}
    given.pop("host")
    connection_class = given.pop("connection_class", Connection)
    servers = Dialer(connection_class, given)
    servers.make(url.addresses[0])  # not connected, see above
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


def _check_files(url: str) -> None:
    """Raise UnusableUrlError for a file that cannot be read; the library would blame the server."""
    for name, path in parse_qsl(urlsplit(url).query):
        if name in _FILES:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise UnusableUrlError(
                    f"the Redis URL cannot be used; its {name}, {path}, cannot be read: {why}"
                ) from None


def _checked(url: str) -> str:
    """Return the URL of one server; raises ValueError for another scheme or a missing server."""
    parts = urlsplit(url)
    place = parts.path if parts.scheme == "unix" else parts.hostname
    _ = parts.port  # raises for a port that is not a number
    if parts.scheme not in ("redis", "rediss", "unix") or not place:
        raise ValueError
    return url


def _unusable(url: str) -> UnusableUrlError:
    if is_redis_url(url):
        return UnusableUrlError(
            f"the Redis URL {redact_text(url)} cannot be used; what follows its ? has an option "
            "that does not exist, or a value that it cannot have"
        )
    # Text that is not a URL may still contain a password, at an unknown place.
    shown = f"URL {redact_text(url)}" if "://" in url else "setting"
    return UnusableUrlError(f"the Redis {shown} cannot be used; {complaint(url)}")


def _without_maintenance() -> dict[str, Any]:
    """The option against the maintenance notices that newer versions of redis-py subscribe to."""
    try:
        from redis.maint_notifications import (  # noqa: PLC0415 - older versions lack the module
            MaintNotificationsConfig,
        )
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
