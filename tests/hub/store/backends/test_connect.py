"""From a URL to a backend: every form, every setting, and no secret in what is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ResponseError

from hub.store import MEMORY, Keys, RedisStore, StoreError, StoreUnavailableError, connect
from hub.store.backends.cluster import Cluster
from hub.store.backends.lane import FAR, Lane
from hub.store.backends.sentinel import SentinelPrimary
from hub.store.backends.server_check import check_server
from hub.store.backends.standalone import Standalone
from tests.hub.store.asking import Asked
from tests.support.redis_servers import RedisServer

SETTINGS = [
    *("host", "port", "db", "path", "username", "password", "client_name", "retry"),
    *("socket_timeout", "socket_connect_timeout"),
]


async def settings_of(url: str, **options: Any) -> dict[str, Any]:
    backend = await connect(url, hub_id="hub-1", command_timeout=0.7, **options)
    connection = backend.client.connection_pool.make_connection()
    settings = {name: getattr(connection, name, None) for name in SETTINGS}
    settings["class"] = type(connection)
    await backend.aclose()
    return settings


async def test_a_tcp_url_names_host_port_database_and_user() -> None:
    found = await settings_of("redis://ann:p%40ss@example.org:6380/3")
    assert (found["host"], found["port"], found["db"]) == ("example.org", 6380, 3)
    assert (found["username"], found["password"]) == ("ann", "p@ss")
    far = FAR * 0.7  # the lanes have the shorter limits
    assert (found["socket_timeout"], found["socket_connect_timeout"]) == (far, far)
    assert found["client_name"] == "homeport:hub-1"


async def test_rediss_is_tls_with_the_options_it_is_given() -> None:
    found = await settings_of("rediss://example.org", ssl_cert_reqs="none")
    assert found["class"] is SSLConnection
    assert found["port"] == 6379


async def test_a_unix_url_names_a_socket() -> None:
    found = await settings_of("unix://:pw@/run/redis.sock?db=2")
    assert found["class"] is UnixDomainSocketConnection
    assert (found["path"], found["db"], found["password"]) == ("/run/redis.sock", 2, "pw")
    assert found["socket_timeout"] == FAR * 0.7


async def test_every_node_of_a_cluster_is_spoken_to_in_the_same_way() -> None:
    backend = await connect("rediss+cluster://ann:pw@h,i?ssl_cert_reqs=none", hub_id="hub-1")
    assert isinstance(backend, Cluster)
    assert backend.hash_tags
    assert backend._seeds.addresses == [("h", 6379), ("i", 6379)]
    connection = backend._dialer.make(("j", 7000))
    assert isinstance(connection, SSLConnection)
    assert (connection.host, connection.port, connection.db) == ("j", 7000, 0)
    assert (connection.username, connection.password) == ("ann", "pw")
    assert connection.client_name == "homeport:hub-1"
    assert connection.retry._retries == 0


async def test_sentinels_have_neither_the_database_nor_the_login_of_the_primary() -> None:
    url = "redis+sentinel://ann:pw@h,i:1/main/3?sentinel_username=s&sentinel_password=spw"
    backend = await connect(url, hub_id="hub-1", command_timeout=0.7)
    assert isinstance(backend, SentinelPrimary)
    assert not backend.hash_tags
    assert backend._seeds.addresses == [("h", 26379), ("i", 1)]
    primary = backend._servers.make(("p", 6379))
    assert (primary.username, primary.password, primary.db) == ("ann", "pw", 3)
    sentinel = backend._sentinels.make(("h", 26379))
    assert (sentinel.username, sentinel.password, sentinel.db) == ("s", "spw", 0)
    for each in (primary, sentinel):
        assert each.retry._retries == 0
        assert (each.socket_timeout, each.socket_connect_timeout) == (FAR * 0.7, FAR * 0.7)
    await backend.aclose()


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///s", MEMORY])
async def test_nothing_is_ever_sent_twice(url: str) -> None:
    assert (await settings_of(url))["retry"]._retries == 0


async def test_every_memory_url_is_an_empty_server_of_its_own() -> None:
    first, second = [(await connect(MEMORY, hub_id="h")).client for _ in range(2)]
    await first.set("a", "b")
    assert await first.get("a") == b"b"
    assert await second.get("a") is None
    await first.aclose()
    await second.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1",
        "redis:",
        "redis://",
        "redis://:hunter2@",
        "redis://u:hun/ter2@h:6379",
        "redis://u:hunter2@h:port",
        "redis://u:hunter2@[::1",
        "redis://h:99999?password=hunter2",
        "redis://h?db=x&password=hunter2",
        "redis://h?nonsense=1&password=hunter2",
        "redis+sentinel://u:hunter2@h",
        "redis+sentinel://u:hunter2@h,i:port/main",
        "redis+sentinel://h/main?nonsense=1&sentinel_password=hunter2",
        "redis+cluster://u:hunter2@h/1",
        "redis+cluster://u:hunter2@",
        "redis+cluster://h?sentinel_password=hunter2",
        "unix://",
        "memory://x",
        "h:6379",
        "u:hunter2@h:6379",
        "redis:u:hunter2@h",
        "",
    ],
)
async def test_an_unusable_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(StoreError, match="cannot be used; ") as caught:
        await connect(url, hub_id="h")
    assert caught.value.status == 2
    assert "hunter2" not in str(caught.value)
    assert "hun/ter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_server_knows_the_connection_by_the_hubs_name(server: RedisServer) -> None:
    backend = await connect(server.url, hub_id="east-1")
    assert await backend.client.client_getname() in (b"homeport:east-1", "homeport:east-1")
    await backend.aclose()


# --- whether the server will do ------------------------------------------------------------------


class Telling(Lane):
    """A server of which only INFO is known."""

    def __init__(self, info: str | Exception) -> None:
        self._info = info

    async def ask(self, *arguments: bytes) -> Any:
        assert arguments == (b"INFO",)
        if isinstance(self._info, Exception):
            raise self._info
        return self._info.replace("\n", "\r\n").encode()

    async def drop(self) -> None:
        """There is no connection."""


@pytest.fixture
async def real(server: RedisServer) -> AsyncIterator[Standalone]:
    backend = await connect(server.url, hub_id="h")
    assert isinstance(backend, Standalone)
    yield backend
    await backend.aclose()


async def test_a_server_that_never_evicts_is_fit(real: Standalone) -> None:
    store = RedisStore(real, Keys(), "h")
    assert await store.check_server() == []
    await real.client.config_set("maxmemory-policy", "allkeys-lru")
    assert await store.check_server() == []  # without a limit nothing is evicted
    await real.client.config_set("maxmemory", "100mb")
    (warning,) = await store.check_server()
    assert "allkeys-lru" in warning
    assert "noeviction" in warning
    await real.client.config_set("maxmemory-policy", "noeviction")
    assert await store.check_server() == []
    await store.close()


async def test_the_server_in_memory_is_fit() -> None:
    backend = await connect(MEMORY, hub_id="h")
    store = RedisStore(backend, Keys(), "h")
    assert await store.check_server() == []
    await store.close()
    await backend.aclose()


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7", "2.8.0"])
async def test_an_old_server_is_refused_with_its_version(version: str) -> None:
    with pytest.raises(StoreError, match=rf"version {version}: 6\.2 or newer"):
        await check_server(Telling(f"# Server\nredis_version:{version}\n"))


@pytest.mark.parametrize("version", ["6.2.0", "7.4.1", "8.0.0", "255.255.255"])
async def test_a_newer_server_is_accepted(version: str) -> None:
    assert await check_server(Telling(f"# Server\nredis_version:{version}\n")) == []


@pytest.mark.parametrize("field", ["redis_mode", "server_mode"])
async def test_a_node_of_a_cluster_is_fit_only_as_such(field: str) -> None:
    node = Telling(f"redis_version:7.2.4\n{field}:cluster\n")
    with pytest.raises(StoreError, match="Redis Cluster: its URL begins with redis\\+cluster://"):
        await check_server(node)
    assert await check_server(node, in_cluster=True) == []


async def test_other_refusals_are_passed_on() -> None:
    with pytest.raises(ResponseError, match="odd"):
        await check_server(Telling(ResponseError("odd")))


async def test_a_database_that_redis_does_not_have_is_for_a_person(server: RedisServer) -> None:
    backend = await connect(f"{server.url}?db=99", hub_id="h")
    store = RedisStore(backend, Keys(), "h")
    with pytest.raises(StoreError, match="Redis has no database of this number") as refused:
        await store.check_server()
    assert not isinstance(refused.value, StoreUnavailableError)  # which would be waited for
    await store.close()
    await backend.aclose()


async def test_a_server_that_is_away_cannot_be_checked(server: RedisServer) -> None:
    backend = await connect(server.url, hub_id="h")
    store = RedisStore(backend, Keys(), "h")
    server.kill()
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await store.check_server()
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await store.namespaces()
    await store.close()
    await backend.aclose()


async def test_the_store_is_opened_through_any_url(server: RedisServer) -> None:
    backend = await connect(f"{server.url}?db=3", hub_id="h")
    store = RedisStore(backend, Keys(), "h")
    await Asked(store).open()
    assert await backend.client.exists("agents:log:name") == 1
    await store.close()
    await backend.aclose()
