"""Several hubs on one Redis answer as one registry, whichever of them is asked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from homeport_protocol.timestamps import parse_timestamp
from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.redis_servers import RedisServer
from tests.support.store_faults import SOON
from tests.support.waiting import wait_until
from tests.support.wire import Wire

HUBS = 3


@pytest.fixture(scope="module")
def hubs(
    shared_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Hub]]:
    """Three hubs with default settings."""
    with ExitStack() as hubs:

        def start(number: int) -> Hub:
            options = ("--redis", shared_server.url, "--hub-id", f"cluster-{number}")
            return hubs.enter_context(running_hub(tmp_path_factory.mktemp("hub"), *options))

        yield [start(number) for number in range(HUBS)]


@pytest.fixture
def places(hubs: list[Hub]) -> Iterator[list[Place]]:
    """One empty namespace, at each of the hubs."""
    namespace = new_namespace()
    places = [Place(hub, namespace) for hub in hubs]
    yield places
    for place in places:
        place.end()


def listed(place: Place) -> dict[str, dict[str, Any]]:
    return {agent["id"]: agent for agent in place.get("/agents").json()["agents"]}


def told(watcher: Wire, agent_id: str, kind: str) -> dict[str, Any]:
    """The next event of that kind of that agent."""
    limit = time.monotonic() + SOON
    while True:
        event = watcher.event(timeout=limit - time.monotonic())
        if event["agent"]["id"] == agent_id and event["kind"] == kind:
            return event


def test_agents_of_every_hub_are_listed_at_every_hub(places: list[Place]) -> None:
    ids = {place.agent(f"agent-{n}")[1]["agent_id"] for n, place in enumerate(places)}
    ids |= {place.register(name=f"http-{n}") for n, place in enumerate(places)}

    for place in places:
        wait_until(lambda place=place: {*listed(place)} == ids, SOON)


def test_a_change_is_shown_at_once_by_the_hub_that_acknowledged_it(places: list[Place]) -> None:
    wire, registered = places[1].agent()
    for version in ("1", "2", "3"):
        wire.ask("update", version=version)

        assert listed(places[1])[registered["agent_id"]]["version"] == version


def test_a_change_is_told_at_every_hub_as_the_same_revision(places: list[Place]) -> None:
    wire, registered = places[0].agent()
    wait_until(lambda: all(listed(place) for place in places), SOON)
    watchers = [place.watcher() for place in places]
    updated = wire.ask("update", version="2")

    events = [told(watcher, registered["agent_id"], "updated") for watcher in watchers]
    assert {event["revision"] for event in events} == {updated["revision"]}
    assert {event["agent"]["version"] for event in events} == {"2"}


def test_a_watch_goes_on_at_another_hub_from_a_revision_that_it_has_just_heard(
    places: list[Place],
) -> None:
    wire, registered = places[0].agent()
    for n in range(20):
        updated = wire.ask("update", version=str(n))
        watcher = places[1 + n % 2].connect()
        watching = watcher.watch(since=updated["revision"], log=updated["log"])
        assert watching["resumed"]
    watcher = places[2].connect()
    watching = watcher.watch(since=registered["revision"], log=registered["log"])

    assert watching["resumed"]
    revisions = [watcher.event("updated")["revision"] for _ in range(20)]
    assert revisions == list(range(registered["revision"] + 1, registered["revision"] + 21))


def test_a_newer_session_at_another_hub_closes_the_older_within_a_second(
    places: list[Place],
) -> None:
    old, registered = places[0].agent()
    new = places[1].connect()
    answer = new.ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    began = time.monotonic()

    assert answer["resumed"]
    assert answer["epoch"] > registered["epoch"]
    assert old.closing()[0] == 4409
    assert time.monotonic() - began < SOON


def test_what_an_older_session_says_after_a_newer_began_elsewhere_has_no_effect(
    places: list[Place],
) -> None:
    for round_ in range(5):
        agent_id = str(uuid.uuid4())
        old, _ = places[0].agent(agent_id=agent_id)
        new, _ = places[1].agent(agent_id=agent_id, version=f"new-{round_}")
        old.send({"op": "update", "id": 99, "version": "old"})

        assert old.closing()[0] == 4409
        assert new.record(agent_id)["version"] == f"new-{round_}"


def test_an_agent_that_lost_its_socket_goes_on_at_another_hub(places: list[Place]) -> None:
    wire, registered = places[0].agent()
    agent_id = registered["agent_id"]
    watcher = places[2].watcher()
    wire.reset()
    again = places[1].connect()
    answer = again.ask("resume", agent_id=agent_id, session_token=registered["session_token"])

    assert answer["resumed"]
    event = told(watcher, agent_id, "resumed")
    assert event["agent"]["hub"] == "cluster-1"
    assert event["agent"]["health"]["connection"] == "websocket"


def test_http_agents_heartbeat_and_unregister_at_any_hub_at_once(places: list[Place]) -> None:
    for _ in range(10):
        agent_id = places[0].register()
        beat = places[1].post(f"/agents/{agent_id}/heartbeat", json={"status": "degraded"})
        assert beat.status_code == 200, beat.text
        assert places[2].post(f"/agents/{agent_id}/unregister").status_code == 200
        assert places[1].post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 404

    for place in places:
        wait_until(lambda place=place: not listed(place), SOON)


def test_get_at_another_hub_shows_the_newest_heartbeat(places: list[Place]) -> None:
    wire, registered = places[0].agent()
    agent_id = registered["agent_id"]
    wait_until(lambda: agent_id in listed(places[1]), SOON)
    asker = places[1].connect()
    for _ in range(5):
        time.sleep(0.05)
        sent = time.time()
        assert wire.ask("heartbeat")["durable"]

        assert parse_timestamp(asker.record(agent_id)["last_seen"]) >= sent


def test_unregistered_at_one_hub_is_gone_from_all(places: list[Place]) -> None:
    wire, registered = places[0].agent()
    watchers = [place.watcher() for place in places[1:]]
    for watcher in watchers:
        watcher.said.clear()
    wire.ask("unregister")

    for watcher in watchers:
        told(watcher, registered["agent_id"], "unregistered")
    for place in places[1:]:
        assert place.record(registered["agent_id"]) is None


def test_every_hub_lists_all_hubs(places: list[Place]) -> None:
    for wire in [place.agent()[0] for place in places]:

        def shown(wire: Wire = wire) -> bool:
            hubs = wire.ask("hubs")["hubs"]
            return {hub["hub_id"]: hub["sessions"] for hub in hubs} == {
                f"cluster-{n}": 1 for n in range(HUBS)
            }

        wait_until(shown, SOON)


def test_pick_finds_agents_of_other_hubs(places: list[Place]) -> None:
    _, registered = places[0].agent(capabilities=["gpu"])
    wire = places[2].connect()
    wait_until(lambda: registered["agent_id"] in listed(places[2]), SOON)

    answer = wire.ask("pick", filter={"capabilities": ["gpu"]})

    assert answer["agent"]["id"] == registered["agent_id"]
