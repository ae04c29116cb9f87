"""A Redis that is far away: everything works, and takes a round trip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.network import Network, Proxy
from tests.support.hub_process import Place
from tests.support.ports import free_port
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import wait_until
from tests.support.wire import Wire


@pytest.fixture
def way() -> Iterator[Proxy]:
    """The way to a server of its own."""
    network = Network()
    try:
        with running(RedisServer(port=free_port())) as server:
            yield network.proxy("127.0.0.1", server.port)
    finally:
        network.close()


def timed(wire: Wire, op: str, **fields: Any) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    return wire.ask(op, **fields), time.monotonic() - began


def test_half_a_second_away_each_way_all_writes_succeed_side_by_side(
    way: Proxy, start_hub: Any, enter: Any
) -> None:
    way.slow(0.5)
    place: Place = enter(start_hub("--redis", f"redis://127.0.0.1:{way.port}"), None)
    spec = {"name": "a", "type": "cost"}
    wires = [place.connect() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        for op, fields in (
            ("register", {"agent": spec}),
            ("heartbeat", {}),
            ("heartbeat", {"load": 1.0}),
            ("update", {"version": "2"}),
        ):
            answers = list(pool.map(lambda wire: timed(wire, op, **fields), wires))  # noqa: B023
            for answer, took in answers:
                assert answer["op"] != "error", answer
                assert answer.get("durable", True) is True
                assert took < 2.9, (op, took)
    warnings = place.get("/ready").json()["warnings"]
    assert place.get("/ready").status_code == 200
    assert any(each.startswith("Redis is slow: it takes 1.") for each in warnings), warnings
    log = place.hub.log()
    assert log.count("the store is slow") == 1
    assert "the store is away" not in log
    (line,) = [
        line
        for line in place.get("/metrics").text.splitlines()
        if line.startswith("homeport_store_round_trip_seconds{")
    ]
    assert 1.0 <= float(line.rpartition(" ")[2]) < 1.5


def test_that_it_is_slow_is_told_while_it_is(way: Proxy, start_hub: Any, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", f"redis://127.0.0.1:{way.port}"), None)
    wire, _ = place.agent("a")
    assert place.get("/ready").json()["warnings"] == []
    way.slow(0.2)

    def slow() -> bool:
        assert wire.ask("heartbeat")["durable"] is True
        return "Redis is slow" in str(place.get("/ready").json()["warnings"])

    wait_until(slow, 20)
    way.slow(0.0)
    wait_until(lambda: not slow(), 20)
    assert place.hub.log().count("the store answers fast again") == 1


def test_a_way_that_becomes_long_is_an_outage_of_seconds_and_no_longer(
    way: Proxy, start_hub: Any, enter: Any
) -> None:
    place: Place = enter(start_hub("--redis", f"redis://127.0.0.1:{way.port}"), None)
    wire, _ = place.agent("a")
    way.slow(0.5)

    def durable() -> bool:
        return bool(wire.ask("heartbeat")["durable"])

    assert not durable()
    wait_until(durable, 25)
    for _ in range(3):
        assert durable()
