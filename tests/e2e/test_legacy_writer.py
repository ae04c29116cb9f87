"""A legacy service goes on writing to the Redis of a hub: nothing that it is told there is lost."""

from __future__ import annotations

import time
from typing import Any

from tests.support.hub_process import Place
from tests.support.legacy_writer import LegacyWriter
from tests.support.redis_servers import RedisServer
from tests.support.waiting import wait_until

LIMIT = 30.0
"""Seconds that a hub may take to notice on a busy machine; it looks every 5."""


def service_on(server: RedisServer) -> LegacyWriter:
    return LegacyWriter(server.client, time.time)


def status_of(place: Place, agent_id: str) -> Any:
    record = place.record(agent_id)
    return None if record is None else (record["status"], record.get("metadata"))


def test_agents_of_the_legacy_service_are_taken_in_heard_and_removed(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url), None)
    watcher = place.connect()
    watcher.watch()
    watcher.snapshot()
    legacy = service_on(server)

    new = legacy.register("old-1", type="übermäßig/1", metadata={"zone": "eu"})
    wait_until(lambda: place.record(new) is not None, LIMIT)
    record = place.record(new)
    assert record is not None
    assert record["health"]["connection"] == "http"
    assert (record["type"], record["metadata"]) == ("übermäßig/1", {"zone": "eu"})
    assert record["epoch"] >= 1
    assert 0 < server.client.pttl(f"agent:{new}") <= 60_000  # type: ignore[operator]
    assert watcher.event()["kind"] == "registered"

    assert legacy.heartbeat(new, "degraded", queue=3)
    said = ("degraded", {"zone": "eu", "queue": 3})
    wait_until(lambda: status_of(place, new) == said, LIMIT)
    assert place.post(f"/agents/{new}/heartbeat", json={"status": "healthy"}).status_code == 200
    assert legacy.read(new) is not None, "the legacy service reads what the hub writes"

    warnings = place.get("/ready").json()["warnings"]
    assert any("another program writes to this Redis: 1 agent " in w for w in warnings)
    metrics = place.get("/metrics").text
    assert 'homeport_foreign_writes_total{namespace="default",what="registered"} 1.0' in metrics
    log = place.hub.log()
    assert log.count("another program writes to this Redis") == 1, "told once a minute"

    legacy.unregister(new)
    wait_until(lambda: place.record(new) is None, LIMIT)
    assert server.active() == set()


def test_an_agent_of_the_hub_may_be_heard_and_unregistered_at_the_legacy_service(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url), None)
    legacy = service_on(server)
    one = place.register(metadata={"a": 1})
    assert legacy.heartbeat(one, "unhealthy", b=2)
    wait_until(lambda: status_of(place, one) == ("unhealthy", {"a": 1, "b": 2}), LIMIT)
    assert legacy.heartbeat(one, "healthy", c=3)
    response = place.post(f"/agents/{one}/heartbeat", json={"metadata": {"d": 4}})
    assert response.status_code == 200, "and what was said a moment ago is not lost to it"
    assert status_of(place, one) == ("healthy", {"a": 1, "b": 2, "c": 3, "d": 4})
    legacy.unregister(one)
    wait_until(lambda: place.record(one) is None, LIMIT)


def test_an_agent_on_a_websocket_stays_as_its_session_has_it(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url), None)
    legacy = service_on(server)
    wire, registered = place.agent("held", metadata={"a": 1})
    one = registered["agent_id"]
    before = server.record(one)
    assert legacy.heartbeat(one, "unhealthy", a=2)
    assert server.record(one) != before
    wait_until(lambda: server.record(one) == before, LIMIT)
    legacy.unregister(one)
    wait_until(lambda: server.record(one) == before and server.active() == {one}, LIMIT)
    assert status_of(place, one) == ("healthy", {"a": 1})
    assert wire.ask("heartbeat")["op"] == "heartbeat_ack"


def test_two_hubs_take_the_agents_of_the_legacy_service_in_once(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    places = [enter(start_hub("--redis", server.url), None) for _ in range(2)]
    watcher = places[1].connect()
    watcher.watch()
    watcher.snapshot()
    legacy = service_on(server)
    ids = {legacy.register(f"old-{number}") for number in range(20)}
    for place in places:
        wait_until(
            lambda place=place: ids <= {a["id"] for a in place.get("/agents").json()["agents"]},
            LIMIT,
        )
    events = [watcher.event() for _ in ids]
    assert {event["kind"] for event in events} == {"registered"}
    assert {event["agent"]["id"] for event in events} == ids
    assert watcher.said_by_now() == []
