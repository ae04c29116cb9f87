"""Some ask for much, through real sockets: others are answered meanwhile, and all is answered."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.hub_process import Place
from tests.support.wire import Wire

AGENTS = 300
CALLERS = 3
FINDS = 115


@pytest.fixture
def crowded(place: Place) -> Place:
    """A namespace with many agents, which no index tells apart by what is asked for."""
    for number in range(AGENTS):
        place.register(name=f"a{number}", capabilities=["common"])
    return place


def dear_filter(number: int) -> dict[str, Any]:
    """A filter that nobody has asked before and no index answers; it finds every agent."""
    words = [f"w{number}-{each}" for each in range(31)]
    version = ",".join(f"!={number}.{each}" for each in range(8))
    return {"any_capability": [*words, "common"], "version": version}


def ask_much(wire: Wire, first: int) -> None:
    for number in range(FINDS):
        filter = {**dear_filter(first + number), "version": "!=9"}
        wire.send({"op": "find", "id": number, "filter": filter, "limit": 1})


def test_heartbeats_are_acknowledged_while_others_ask_for_much(crowded: Place) -> None:
    agent, _ = crowded.agent("patient")
    callers = [crowded.connect() for _ in range(CALLERS)]
    began = time.monotonic()
    for number, caller in enumerate(callers):
        ask_much(caller, number * FINDS)
    waits = []
    while len(waits) < 5:
        sent = time.monotonic()
        assert agent.ask("heartbeat")["op"] == "heartbeat_ack"
        waits.append(time.monotonic() - sent)
    beaten = time.monotonic() - began
    for caller in callers:
        answers = [caller.answer() for _ in range(FINDS)]
        assert [answer["id"] for answer in answers] == [*range(FINDS)]
        assert all(answer["op"] == "agents" for answer in answers)
    asked = time.monotonic() - began
    # By order, not by the clock: the heartbeats are done well before what was asked before them.
    assert beaten < asked, f"{beaten:.3f} s of {asked:.3f} s"
    assert min(waits) < 0.25


def test_a_watch_with_a_dear_filter_replays_all_while_others_are_answered(crowded: Place) -> None:
    agent, registered = crowded.agent("changing", capabilities=["common"], version="0")
    log, since = registered["log"], registered["revision"]
    for number in range(300):
        agent.send({"op": "update", "id": number, "version": f"1.{number}"})
    assert [agent.answer()["id"] for _ in range(300)] == [*range(300)]
    watcher = crowded.connect()
    for number in range(8):
        request = {"op": "watch", "id": number, "filter": dear_filter(1000 + number)}
        watcher.send({**request, "log": log, "since": since})
    agent.send({"op": "update", "id": "late", "version": "late"})
    assert agent.answer()["id"] == "late"
    for number in range(8):
        answer = watcher.answer()
        assert (answer["id"], answer["resumed"]) == (number, True)
    last = since + 301
    seen: dict[int, list[int]] = {}
    while len(seen) < 8 or any(revisions[-1] < last for revisions in seen.values()):
        event = watcher.event()
        seen.setdefault(event["watch"], []).append(event["revision"])
    assert all(revisions == [*range(since + 1, last + 1)] for revisions in seen.values())


def test_what_one_read_brings_is_answered_in_order_however_much(crowded: Place) -> None:
    wire, registered = crowded.agent("busy")
    for number in range(400):
        op = ("ping", "heartbeat", "find", "get")[number % 4]
        more = {"agent_id": registered["agent_id"]} if op == "get" else {}
        wire.send({"op": op, "id": number, **more})
    assert [wire.answer()["id"] for _ in range(400)] == [*range(400)]


def test_a_query_string_beyond_its_bounds_is_refused_at_once(place: Place) -> None:
    query = "&".join(f"meta.X{number}=v" for number in range(6000))
    began = time.monotonic()
    answer = place.get(f"/agents?{query}")
    assert answer.status_code in (400, 431)
    assert time.monotonic() - began < 1.0
    shorter = "&".join(f"meta.X{number}=v" for number in range(200))
    answer = place.get(f"/agents?{shorter}")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "query: more than 128 parameters",
    )
