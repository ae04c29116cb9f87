"""The life of an agent with the intervals scaled down: in order, once each, and never early.

Upper bounds are generous, for busy machines; lower bounds are exact, to the millisecond that an
event loop's clock is good for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Beating
from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import Message

INTERVAL, TIMEOUT, LEASE, WINDOW = 0.4, 0.8, 1.0, 0.3
CLOCK = 0.002
LATE = 2.0
"""How late a busy machine may be; on an idle one the contract allows 0.1 s."""

SCALED = (
    *("--heartbeat-interval", str(INTERVAL), "--heartbeat-timeout", str(TIMEOUT)),
    *("--lease-ttl", str(LEASE), "--resume-window", str(WINDOW)),
    *("--loss-share", "1"),  # all agents are meant to die
)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    """A store for this module alone: hubs of one cluster must agree on the times."""
    with running(RedisServer(keeps=True)) as server:
        yield server


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory, shared_server: RedisServer) -> Iterator[Hub]:
    directory = tmp_path_factory.mktemp("scaled")
    with running_hub(directory, "--redis", shared_server.url, *SCALED) as hub:
        yield hub


@pytest.fixture
def here(scaled: Hub, enter: Callable[..., Place]) -> Place:
    return enter(scaled)


def of(events: list[Message], kind: str) -> list[Message]:
    return [event for event in events if event["kind"] == kind]


def statuses(events: list[Message]) -> list[str]:
    """The statuses that the events tell, repetitions left out."""
    told: list[str] = []
    for event in events:
        if not told or told[-1] != event["agent"]["status"]:
            told.append(event["agent"]["status"])
    return told


def test_fractions_of_a_second_are_told_to_agents(here: Place) -> None:
    wire, registered = here.agent("told")
    terms = [registered[n] for n in ("heartbeat_interval", "heartbeat_timeout", "lease_ttl")]
    assert terms == [INTERVAL, TIMEOUT, LEASE]
    assert wire.ask("heartbeat")["next_interval"] == INTERVAL


class Fallen:
    """Agents that fell silent in different ways, and all that a watcher heard of them.

    They share one namespace and one stretch of time; each test looks at its own.
    """

    def __init__(self, place: Place, server: RedisServer) -> None:
        self.place = place
        self.server = server
        self.since: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self.watcher = place.watcher()
        self.mute = place.connect(answers_pings=False)
        self._ids["mute"] = self.mute.register("mute")["agent_id"]
        self.hanging = place.connect()
        self.since["hanging"] = time.monotonic()
        self._ids["hanging"] = self.hanging.register("hanging")["agent_id"]
        for way in ("reset", "drop"):
            wire, registered = place.agent(way)
            self._ids[way] = registered["agent_id"]
            self.since[way] = time.monotonic()
            getattr(wire, way)()
        self._ids["http"] = place.register(name="http")
        self.since["http"] = time.monotonic()
        assert place.post(f"/agents/{self._ids['http']}/heartbeat", json={}).status_code == 200
        self.since["mute"] = time.monotonic()
        self.mute.ask("heartbeat")
        for number in range(60):
            self.since[f"n{number}"] = time.monotonic()
            self._ids[f"n{number}"] = place.register(name=f"n{number}")
            for wire in (self.hanging, self.watcher):  # whose silence is not what is tested
                wire.listen(0.001)
        limit = time.monotonic() + LIMIT
        gone = {each for name, each in self._ids.items() if name != "hanging"}
        while gone and time.monotonic() < limit:
            self.hanging.listen(0.02)
            self.watcher.listen(0.02)
            gone -= {e["agent"]["id"] for e in self.watcher.said if e.get("kind") == "expired"}
        self.hanging.listen(LEASE / 2)
        self.events = self.watcher.said_by_now()

    def id(self, name: str) -> str:
        return self._ids[name]

    def of(self, name: str) -> list[Message]:
        return [event for event in self.events if event["agent"]["id"] == self._ids[name]]


@pytest.fixture(scope="module")
def fallen(scaled: Hub, shared_server: RedisServer) -> Iterator[Fallen]:
    place = Place(scaled, new_namespace())
    yield Fallen(place, shared_server)
    place.end()


def test_a_silent_http_agent_is_unreachable_once_and_then_gone(fallen: Fallen) -> None:
    registered, unreachable, expired = fallen.of("http")
    kinds = [event["kind"] for event in (registered, unreachable, expired)]
    assert kinds == ["registered", "status_changed", "expired"]
    assert unreachable["agent"]["status"] == "unreachable"
    assert unreachable["agent"]["health"]["reason"] == "heartbeat_timeout"
    assert unreachable["agent"]["health"]["reported"] == "healthy"
    silent_since = fallen.since["http"]
    assert TIMEOUT - CLOCK <= unreachable["_at"] - silent_since < TIMEOUT + LATE
    assert expired["_at"] - silent_since >= TIMEOUT + LEASE - CLOCK
    assert fallen.place.record(fallen.id("http")) is None


def test_a_silent_websocket_agent_is_unreachable_and_its_socket_closed_with_4408(
    fallen: Fallen,
) -> None:
    assert fallen.mute.closing()[0] == 4408
    assert fallen.mute.pings >= 1, "it was asked for a sign of life"
    events = fallen.of("mute")
    assert statuses(events) == ["healthy", "unreachable"]
    unreachable = next(e for e in events if e["agent"]["status"] == "unreachable")
    assert unreachable["kind"] == "status_changed"
    assert unreachable["agent"]["health"]["reason"] == "heartbeat_timeout"
    assert TIMEOUT - CLOCK <= unreachable["_at"] - fallen.since["mute"] < TIMEOUT + LATE
    assert len(of(events, "status_changed")) == 1, "exactly one event"
    assert len(of(events, "expired")) == 1


@pytest.mark.parametrize("way", ["reset", "drop"])
def test_a_lost_socket_is_lost_then_unreachable_then_gone(fallen: Fallen, way: str) -> None:
    _, lost, unreachable, expired = fallen.of(way)
    assert lost["kind"] == "lost"
    assert lost["agent"]["health"]["connection"] == "lost"
    assert lost["agent"]["status"] == "healthy"
    assert unreachable["kind"] == "status_changed"
    assert unreachable["agent"]["status"] == "unreachable"
    assert unreachable["agent"]["health"]["reason"] == "connection_lost"
    assert unreachable["agent"]["health"]["connection"] == "lost"
    assert WINDOW - CLOCK <= unreachable["_at"] - fallen.since[way] < WINDOW + LATE
    assert expired["kind"] == "expired"
    assert expired["_at"] - fallen.since[way] >= WINDOW + LEASE - CLOCK


def test_many_silent_agents_are_each_unreachable_once_and_removed_once(fallen: Fallen) -> None:
    for number in range(60):
        own = fallen.of(f"n{number}")
        assert [e["kind"] for e in own] == ["registered", "status_changed", "expired"]
        assert own[1]["agent"]["status"] == "unreachable"
        assert own[1]["_at"] - fallen.since[f"n{number}"] >= TIMEOUT - CLOCK
    revisions = [event["revision"] for event in fallen.events]
    assert revisions == sorted(set(revisions))


def test_an_agent_that_only_answers_pings_is_overdue_and_not_unreachable(fallen: Fallen) -> None:
    registered, overdue = fallen.of("hanging")
    assert registered["kind"] == "registered"
    assert overdue["kind"] == "status_changed"
    assert overdue["agent"]["status"] == "unhealthy"
    assert overdue["agent"]["health"]["reason"] == "heartbeat_overdue"
    assert overdue["agent"]["health"]["connection"] == "websocket"
    assert overdue["_at"] - fallen.since["hanging"] >= TIMEOUT - CLOCK


def test_the_dead_leave_no_keys_behind_and_pongs_keep_the_living_ones(
    fallen: Fallen, scaled: Hub, enter: Callable[..., Place]
) -> None:
    prefix = fallen.place.prefix
    fallen.hanging.listen(LEASE)
    assert fallen.server.active(prefix) == {fallen.id("hanging")}
    assert fallen.server.entries(prefix) == [f"{prefix}agent:{fallen.id('hanging')}"]
    assert fallen.place.get("/agents/pick").status_code == 404, "only healthy agents are picked"
    assert fallen.hanging.ask("heartbeat")["op"] == "heartbeat_ack"
    record = fallen.hanging.record(fallen.id("hanging"))
    assert (record["status"], record["health"]["reason"]) == ("healthy", "ok")
    fallen.hanging.ask("unregister")
    assert fallen.server.active(prefix) == set()
    assert fallen.server.entries(prefix) == []


def test_an_unreachable_agent_stays_visible_until_it_is_removed(here: Place) -> None:
    watcher = here.watcher()
    agent_id = here.register(name="visible")
    events = watcher.events_until("status_changed")
    assert events[-1]["agent"]["status"] == "unreachable"
    record = here.record(agent_id)
    assert record is not None
    assert record["status"] == "unreachable"
    assert here.get("/agents?status=unreachable").json()["count"] == 1
    assert here.get("/agents/pick").status_code == 404


def test_an_agent_resumed_within_the_window_is_never_unreachable(here: Place) -> None:
    watcher = here.watcher()
    wire, answer = here.agent("quick")
    for _ in range(3):
        wire.reset()
        wire = here.connect()
        answer = wire.ask(
            "resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
        )
        assert answer["resumed"] is True
    told = watcher.said_by_now()
    assert statuses(told) == ["healthy"]
    assert len(of(told, "resumed")) == 3


def test_a_resume_after_the_window_brings_an_unreachable_agent_back(here: Place) -> None:
    watcher = here.watcher()
    wire, first = here.agent("slow")
    wire.reset()
    events = watcher.events_until("status_changed")
    assert events[-1]["agent"]["status"] == "unreachable"
    again = here.connect()
    answer = again.ask("resume", agent_id=first["agent_id"], session_token=first["session_token"])
    assert answer["op"] == "registered", answer
    event = watcher.event("resumed")
    assert event["agent"]["status"] == "healthy"
    assert event["agent"]["health"]["reason"] == "ok"
    assert event["agent"]["health"]["connection"] == "websocket"


def test_an_unreachable_agent_returns_by_a_heartbeat_over_http(here: Place) -> None:
    watcher = here.watcher()
    agent_id = here.register(name="returning")
    assert watcher.events_until("status_changed")[-1]["agent"]["status"] == "unreachable"
    assert here.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 200
    event = watcher.event("status_changed")
    assert event["agent"]["status"] == "healthy"
    assert event["agent"]["health"]["reason"] == "ok"
    assert watcher.event("status_changed")["agent"]["status"] == "unreachable"
    body = {"status": "degraded"}
    assert here.post(f"/agents/{agent_id}/heartbeat", json=body).status_code == 200
    assert watcher.event("status_changed")["agent"]["status"] == "degraded"
    assert watcher.events_until("expired")[-1]["agent"]["id"] == agent_id
    assert here.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 404


def test_agents_that_heartbeat_stay_healthy_and_their_entries_alive(
    here: Place, shared_server: RedisServer, keep_beating: Callable[..., Beating]
) -> None:
    watcher = here.watcher()
    beating = keep_beating(here, 3, 0.1)
    watcher.listen(TIMEOUT + LEASE + 0.5)
    assert beating.failures == []
    assert {e["kind"] for e in watcher.said_by_now()} == {"registered"}
    assert shared_server.active(here.prefix) == set(beating.ids)
    assert len(shared_server.entries(here.prefix)) == 3
    assert all(answer["durable"] for answer in beating.answers)


# -- the hub's own absence ----------------------------------------------------------------------


@pytest.mark.parametrize("absent", [TIMEOUT * 1.5, TIMEOUT + LEASE + 1.5])
def test_a_hub_that_was_stopped_does_not_charge_its_absence_to_the_agents(
    start_server: Any, start_hub: Any, enter: Any, keep_beating: Any, absent: float
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url, *SCALED)
    place = enter(hub)
    watcher = place.watcher()
    beating = keep_beating(place, 3, 0.1)
    http_agent = place.register(name="over-http")
    watcher.listen(0.3)
    place.post(f"/agents/{http_agent}/heartbeat", json={})
    hub.suspend()
    time.sleep(absent)
    resumed_at = time.monotonic()
    hub.wake()
    # Every agent gets a fresh heartbeat_timeout, also those over HTTP.
    assert place.post(f"/agents/{http_agent}/heartbeat", json={}).status_code == 200
    beats = len(beating.answers)
    watcher.listen(TIMEOUT * 0.8)
    told = watcher.said_by_now()
    assert beating.failures == []
    assert {event["kind"] for event in told} <= {"registered"}, told
    assert statuses(told) == ["healthy"]
    assert len(beating.answers) > beats, "they go on heartbeating"
    wait_until(lambda: server.active(place.prefix) >= {*beating.ids, http_agent})
    assert len(server.entries(place.prefix)) >= 3, "what Redis dropped meanwhile is put back"
    # The agent over HTTP falls silent now, and only its own silence counts.
    event = watcher.event("status_changed")
    assert event["agent"]["id"] == http_agent
    assert event["agent"]["status"] == "unreachable"
    assert event["_at"] - resumed_at >= TIMEOUT - CLOCK
    assert beating.failures == []


def test_a_hub_that_starts_again_gives_the_agents_it_finds_a_fresh_timeout(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    options = (
        *("--redis", server.url, "--hub-id", "same"),
        *("--heartbeat-interval", "1", "--heartbeat-timeout", "1.5", "--lease-ttl", "30"),
    )
    hub = start_hub(*options)
    place = enter(hub)
    agent_id = place.register(name="waiting")
    hub.kill()
    time.sleep(1.6)
    again = enter(start_hub(*options), place.namespace)
    found_at = time.monotonic()
    watcher = again.connect()
    watcher.watch()
    assert [a["status"] for a in watcher.snapshot()] == ["healthy"]
    event = watcher.event("status_changed")
    assert event["agent"]["id"] == agent_id
    assert event["agent"]["status"] == "unreachable"
    # Its deadline began when the hub found it, which is before the test could ask.
    assert event["_at"] - found_at >= 0.5
