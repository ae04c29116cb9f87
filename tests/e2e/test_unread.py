"""Peers that do not read: what they leave unread is bounded, and they are closed in time."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import StartHub
from tests.support.hub_process import Hub, Place
from tests.support.wire import Wire

BIG = {"k": "x" * 14_000}


def waited_for(holds: Callable[[], bool], seconds: float) -> float:
    """How long it takes until that holds; fails after so many seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def metric(hub: Hub, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", Place(hub).get("/metrics").text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def limited(hub: Hub, setting: str) -> float:
    return metric(hub, f'homeport_limits_applied_total{{setting="{setting}"}}')


@pytest.fixture
def hub(start_hub: StartHub) -> Hub:
    flags = ("--redis", "memory://", "--send-timeout", "3", "--max-total-unsent-bytes", "6000000")
    return start_hub(*flags)


@pytest.fixture
def place(hub: Hub) -> Iterator[Place]:
    place = Place(hub)
    yield place
    place.end()


def fill(place: Place, agents: int) -> None:
    for number in range(agents):
        place.register(name=f"big-{number}", metadata=BIG)


def asks_and_never_reads(hub: Hub, path: str = "/agents") -> socket.socket:
    asking = socket.create_connection(("127.0.0.1", hub.port))
    asking.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return asking


def test_a_watch_that_is_not_read_is_closed_with_4413_after_send_timeout(
    hub: Hub, place: Place
) -> None:
    agent, _ = place.agent("noisy", metadata=BIG)
    silent = place.watcher()
    for number in range(500):
        agent.ask("update", version=str(number))
        if metric(hub, "homeport_unsent_bytes"):
            break
    stuck = time.monotonic()
    while not limited(hub, "send_timeout"):
        agent.ask("update", version="again")
        assert time.monotonic() - stuck < 6
        time.sleep(0.1)
    assert time.monotonic() - stuck > 2.5, "it read until shortly before"
    code, reason = silent.closing(timeout=10)
    assert (code, reason) == (4413, "nothing was read for send_timeout, 3 s")
    agent.ping()


def test_a_list_that_is_not_read_is_cut_off_after_send_timeout(hub: Hub, place: Place) -> None:
    fill(place, 400)  # 5.8 MB, which is more than the kernel takes
    asking = asks_and_never_reads(hub)
    waited_for(lambda: metric(hub, "homeport_unsent_bytes") > 0, 3)
    assert metric(hub, "homeport_unsent_bytes") < 400_000, "the rest is not made yet"
    assert 2 < waited_for(lambda: limited(hub, "send_timeout") > 0, 6) < 5
    assert metric(hub, "homeport_unsent_bytes") == 0
    asking.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        while asking.recv(1 << 20):
            pass
    asking.close()
    assert len(place.get("/agents").json()["agents"]) == 400


def test_beyond_the_hubs_budget_those_with_most_are_closed(hub: Hub, place: Place) -> None:
    fill(place, 100)
    wires: list[Wire] = []
    for _ in range(8):  # 1.4 MB for each that asks twice and does not read
        wires.append(place.connect())
        for number in range(4):
            wires[-1].send({"op": "find", "id": number, "limit": 10_000})
    waited_for(lambda: limited(hub, "max_total_unsent_bytes") > 0, 3)
    assert metric(hub, "homeport_unsent_bytes") <= 6_000_000
    closed = metric(hub, 'homeport_websockets_closed_total{code="4413"}')
    assert closed < 8
    for wire in wires:
        wire.reset()
