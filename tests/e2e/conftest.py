"""Hubs as processes, real stores, and a namespace for each test.

A hub that is started here must never log a traceback: that is asserted when it ends.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.neighbours import Neighbour
from tests.support.redis_servers import RedisServer, running
from tests.support.wire import Wire

StartHub = Callable[..., Hub]
StartServer = Callable[..., RedisServer]
Enter = Callable[..., Place]


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub with the embedded engine, for all tests that can share; each has a namespace."""
    directory = tmp_path_factory.mktemp("hub")
    store, many = str(directory / "store"), ("--open-namespaces", "100000")
    with running_hub(directory, "--data-dir", store, *many) as hub:
        yield hub


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """The store of `stored_hub`, for looking only."""
    with running(RedisServer(keeps=True)) as server:
        yield server


@pytest.fixture(scope="session")
def stored_hub(
    tmp_path_factory: pytest.TempPathFactory, shared_server: RedisServer
) -> Iterator[Hub]:
    """One hub whose store the tests can look into."""
    with running_hub(tmp_path_factory.mktemp("stored"), "--redis", shared_server.url) as hub:
        yield hub


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Makes a `Place` of a hub, in a new namespace unless one is given."""
    places: list[Place] = []

    def make(hub: Hub, namespace: str | None = "") -> Place:
        places.append(Place(hub, new_namespace() if namespace == "" else namespace))
        return places[-1]

    yield make
    for place in places:
        place.end()


@pytest.fixture
def place(shared_hub: Hub, enter: Enter) -> Place:
    """An empty namespace of the shared hub."""
    return enter(shared_hub)


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts a store for this test alone."""
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(running(RedisServer(keeps=True, **settings)))


@pytest.fixture
def start_hub(tmp_path: Path, start_server: StartServer) -> Iterator[StartHub]:
    """Starts a hub for this test alone: flags as arguments; `env` and `port` as of `Hub`.

    It asks for `start_server` so that hubs end before the stores that they use.
    """
    numbers = itertools.count()
    with ExitStack() as hubs:
        yield lambda *options, **more: hubs.enter_context(
            running_hub(tmp_path / f"hub-{next(numbers)}", *options, **more)
        )


@pytest.fixture(scope="module")
def neighbour(shared_hub: Hub) -> Iterator[Neighbour]:
    place = Place(shared_hub, new_namespace())
    yield Neighbour(place)
    place.end()


@pytest.fixture
def noticed_nothing(neighbour: Neighbour) -> Iterator[None]:
    yield
    neighbour.check()


@pytest.fixture
def wire(neighbour: Neighbour) -> Iterator[Wire]:
    wire = Wire(neighbour.place.hub.url, namespace=neighbour.place.namespace)
    yield wire
    wire.drop()


@pytest.fixture
def area(neighbour: Neighbour) -> Place:
    """The namespace of the neighbour, for tests over HTTP."""
    return neighbour.place


class Beating:
    """Agents that keep heartbeating in the background, each with its connection and thread.

    `every` is the seconds from an acknowledgement to the next heartbeat; pings are answered always.
    """

    def __init__(self, place: Place, count: int, every: float) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._every = every
        self._ended = threading.Event()
        wires = [place.connect() for _ in range(count)]
        self.ids = [wire.register(f"beating-{n}")["agent_id"] for n, wire in enumerate(wires)]
        self._threads = [
            threading.Thread(target=self._beat, args=(wire,), daemon=True) for wire in wires
        ]
        for thread in self._threads:
            thread.start()

    def _beat(self, wire: Wire) -> None:
        try:
            while not self._ended.is_set():
                self.answers.append(wire.ask("heartbeat", timeout=30))
                wire.listen(self._every)
        except (AssertionError, OSError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(35)


@pytest.fixture
def keep_beating() -> Iterator[Callable[[Place, int, float], Beating]]:
    """Starts agents that heartbeat until the test ends."""
    started: list[Beating] = []

    def start(place: Place, count: int, every: float) -> Beating:
        started.append(Beating(place, count, every))
        return started[-1]

    yield start
    for beating in started:
        beating.end()
