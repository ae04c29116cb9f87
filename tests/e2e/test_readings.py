"""Loads are readings: no event, and yet known at every hub within two seconds."""

from __future__ import annotations

import time
from typing import Any

from tests.support.waiting import wait_until
from tests.support.wire import Wire

KNOWN_WITHIN = 2.0
SLOW_MACHINE = 1.0
"""Seconds that a busy machine may add."""


def two_places(start_server: Any, start_hub: Any, enter: Any) -> tuple[Any, Any]:
    server = start_server()
    hubs = [start_hub("--redis", server.url, "--hub-id", name) for name in ("one", "two")]
    first, second = (enter(hub, None) for hub in hubs)
    wait_until(lambda: len(first.connect().ask("hubs")["hubs"]) == 2)
    return first, second


def reader(place: Any, **fields: Any) -> Wire:
    wire: Wire = place.connect()
    wire.watch(readings=True, **fields)
    wire.snapshot()
    return wire


def listed(place: Any, agent_id: str) -> list[Any]:
    """The load as each way of asking shows it."""
    agents = place.get("/agents").json()["agents"]
    wire = place.connect()
    picked = wire.ask("pick", strategy="least_loaded")["agent"]
    found = wire.ask("find")["agents"]
    got = wire.ask("get", agent_id=agent_id)["agent"]
    shown = [*(each for each in (*agents, *found) if each["id"] == agent_id), picked, got]
    return [each["load"] for each in shown]


def test_every_way_of_asking_at_both_hubs_shows_the_newest_load(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    first, second = two_places(start_server, start_hub, enter)
    wire, registered = first.agent("busy", load=0.5)
    agent_id = registered["agent_id"]
    wait_until(lambda: agent_id in str(second.get("/agents").json()))
    watcher, readers = second.watcher(), [reader(first), reader(second)]
    for load in (0.25, 7, 0):
        assert wire.ask("heartbeat", load=load)["durable"] is True
        told_at = time.monotonic()
        assert listed(first, agent_id) == [load] * 4
        wait_until(lambda load=load: listed(second, agent_id) == [load] * 4)  # type: ignore[misc]
        assert time.monotonic() - told_at < KNOWN_WITHIN + SLOW_MACHINE
        for each in readers:
            told = each.tell()
            assert (told["op"], told["watch"], told["loads"]) == ("reading", 1, {agent_id: load})
    assert watcher.said_by_now() == []


def test_an_agent_takes_its_newest_load_along_to_the_other_hub(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    first, second = two_places(start_server, start_hub, enter)
    wire, registered = first.agent("moving", load=1)
    token = {key: registered[key] for key in ("agent_id", "session_token")}
    assert wire.ask("heartbeat", load=9)["durable"] is True
    again = second.connect()
    assert again.ask("resume", **token)["resumed"] is True
    assert again.record(registered["agent_id"])["load"] == 9
    assert first.connect().record(registered["agent_id"])["load"] == 9
