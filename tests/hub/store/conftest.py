"""Stores on a real server and on the one in memory: both must do the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from hub.store import MEMORY, Keys, RedisStore, connect
from hub.store.backends.standalone import Standalone
from tests.hub.store.asking import Asked
from tests.support.redis_servers import RedisServer, running

MakeStore = Callable[..., Asked]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    with running(RedisServer()) as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server for this test alone, which it may kill or stop."""
    with running(RedisServer()) as server:
        yield server


@pytest.fixture(params=["real", "memory"])
async def backend(
    request: pytest.FixtureRequest, shared_server: RedisServer
) -> AsyncIterator[Standalone]:
    url = shared_server.url if request.param == "real" else MEMORY
    backend = await connect(url, hub_id="hub-1", command_timeout=10.0)
    assert isinstance(backend, Standalone)
    await backend.client.flushall()
    yield backend
    await backend.aclose()


@pytest.fixture
def client(backend: Standalone) -> Redis:
    """A client beside the store's own connections."""
    return backend.client


@pytest.fixture
async def make_store(backend: Standalone) -> AsyncIterator[MakeStore]:
    """Stores on the server that `client` speaks to."""
    made: list[RedisStore] = []

    def make(hub_id: str = "hub-1", keys: Keys | None = None, **options: Any) -> Asked:
        options = {"command_timeout": 10.0, **options}
        made.append(RedisStore(backend, keys or Keys(), hub_id, **options))
        return Asked(made[-1])

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def store(make_store: MakeStore) -> Asked:
    """A store that has been opened."""
    store = make_store()
    await store.open()
    return store
