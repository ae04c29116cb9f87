"""Redis killed, stopped, read-only, full, and back: reads go on, and no write is pretended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Beating
from tests.e2e.test_times_scaled import LEASE, SCALED, TIMEOUT, statuses
from tests.support.hub_process import Place
from tests.support.store_faults import FAULTS, KEEPS_DATA, SOON, Scene, Stage, start_empty
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import Message, Wire


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("faults"))
    yield stage
    stage.tear_down()


@pytest.fixture
def scene(stage: Stage, enter: Any) -> Iterator[Scene]:
    server, hub = stage.set_up()
    yield Scene(server, hub, enter(hub))
    server.wake()


def timed(wire: Wire, op: str, **fields: Any) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    answer = wire.ask(op, **fields)
    return answer, time.monotonic() - began


@pytest.mark.parametrize("name", FAULTS)
def test_while_the_store_is_away_reads_go_on_and_writes_are_refused(
    scene: Scene, name: str
) -> None:
    fault, place = FAULTS[name], scene.place
    other = place.agent("other")[0]
    leaving = place.register(name="leaving")
    events = [scene.watcher.event("registered") for _ in range(2)]
    scene.position = events[-1]["revision"]
    ids = {*scene.ids, *(event["agent"]["id"] for event in events)}
    fault.begin(scene.server)

    # Each waits for the store to come back, but not for long; here all at the same time.
    sent = {"name": "refused", "type": "cost", "host": "h", "port": 1}
    with ThreadPoolExecutor(6) as pool:
        heartbeat = pool.submit(timed, scene.wire, "heartbeat", status="degraded", load=5)
        spec = {"name": "refused", "type": "cost"}
        register = pool.submit(timed, place.connect(), "register", agent=spec)
        update = pool.submit(timed, other, "update", version="refused")
        posts = [
            pool.submit(requests.post, f"{scene.hub.url}{path}", json=json, headers=headers)
            for headers in [dict(place.http.headers)]
            for path, json in [
                ("/agents/register", sent),
                (f"/agents/{scene.http_id}/heartbeat", {"status": "healthy"}),
                (f"/agents/{leaving}/unregister", None),
            ]
        ]
    ack, took = heartbeat.result()
    assert ack["op"] == "heartbeat_ack", ack
    assert ack["durable"] is False
    assert took < 5
    answer, took = register.result()
    assert (answer["op"], answer["code"]) == ("error", "unavailable")
    assert answer["retryable"] is True
    assert answer["retry_after"] > 0
    assert 1.5 <= took < 6
    assert update.result()[0]["code"] == "unavailable"
    for post in posts:
        response = post.result()
        assert response.status_code == 503, (response.url, response.text)
        body = response.json()
        assert body["error"]
        assert body.get("outcome", "unknown") == "unknown"
        if "heartbeat" in response.url:
            assert body["outcome"] == "unknown", "it counts, and will be stored"
        assert int(response.headers["Retry-After"]) >= 1

    ready = place.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["error"]
    assert ready.json()["reasons"]
    assert place.get("/health").status_code == 200, "the process lives"

    began = time.monotonic()
    assert scene.listed() == ids
    assert place.record(scene.id) is not None
    reader = place.connect()
    assert reader.ask("find")["count"] == 4
    assert reader.ask("pick", filter={"status": ["healthy", "degraded"]})["op"] == "agent"
    reader.watch()
    assert {agent["id"] for agent in reader.snapshot()} == ids
    scene.wire.ping()
    assert time.monotonic() - began < 2, "reads do not wait for the store"

    fault.end(scene.server)
    took = scene.recovered()
    assert took < SOON
    wait_until(lambda: place.get("/ready").status_code == 200, SOON)

    # The heartbeat's values, unstored while the store was away, are stored afterwards.
    wait_until(lambda: (scene.stored(scene.id) or {}).get("status") == "degraded", SOON)
    assert place.record(scene.id) is not None
    assert place.post(f"/agents/{scene.http_id}/heartbeat", json={}).status_code == 200
    if posts[-1].result().json().get("outcome") is None:
        assert place.record(leaving) is not None, "what was refused has not happened"
    late = place.connect().register("late")
    assert scene.stored(late["agent_id"]) is not None
    assert scene.wire.ask("update", version="2")["op"] == "updated"
    stored = scene.stored(scene.id)
    assert stored is not None
    assert stored["version"] == "2"
    wait_until(lambda: scene.listed() == scene.server.active(place.prefix), SOON)
    told = scene.watcher.said_by_now()
    assert "unreachable" not in [m["agent"]["status"] for m in told if m["op"] == "event"]
    if name in KEEPS_DATA:
        assert_the_watch_had_no_gap(scene, told)


def assert_the_watch_had_no_gap(scene: Scene, told: list[Message]) -> None:
    assert all(message["op"] == "event" for message in told), "the log is still the same"
    own = [event for event in told if event["agent"]["id"] == scene.id]
    assert [event["kind"] for event in own] == ["status_changed", "updated"]
    assert own[0]["agent"]["status"] == "degraded"
    assert own[1]["agent"]["version"] == "2"
    revisions = [event["revision"] for event in told]
    assert revisions == sorted(set(revisions))
    again = scene.place.connect()
    answer = again.watch(since=scene.position, log=scene.log)
    assert answer["resumed"] is True
    assert answer["log"] == scene.log
    assert [event["revision"] for event in again.said_by_now()] == revisions


@pytest.mark.parametrize("name", ["killed", "stopped"])
def test_an_idle_hub_notices_that_its_store_is_gone_and_that_it_is_back(
    start_server: Any, start_hub: Any, enter: Any, name: str
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url))
    place.register()
    FAULTS[name].begin(server)
    wait_until(lambda: place.get("/ready").status_code == 503, LIMIT)
    FAULTS[name].end(server)
    wait_until(lambda: place.get("/ready").status_code == 200, LIMIT)


def test_an_idle_hub_notices_that_its_store_came_back_empty(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    """No write is under way: agents are between heartbeats while the store is briefly away."""
    server = start_server()
    place = enter(start_hub("--redis", server.url))
    watcher = place.watcher()
    _, registered = place.agent("idle")
    ids = {registered["agent_id"], place.register(name="over-http")}
    server.kill()
    start_empty(server)
    wait_until(lambda: server.active(place.prefix) == ids, LIMIT)
    assert len(server.entries(place.prefix)) == 2
    messages = watcher.said_by_now()
    assert registered["log"] not in [m["log"] for m in messages if m["op"] == "snapshot"]
    assert "snapshot" in [message["op"] for message in messages]


def test_a_store_that_comes_back_empty_gets_all_agents_and_a_new_log(scene: Scene) -> None:
    place = scene.place
    fault = FAULTS["killed and empty"]
    extra = [place.agent(f"n{n}", metadata={"n": n})[1]["agent_id"] for n in range(20)]
    everyone = {*scene.ids, *extra}
    scene.watcher.said_by_now()
    fault.begin(scene.server)
    fault.end(scene.server)
    began = time.monotonic()
    assert scene.wire.ask("heartbeat")["op"] == "heartbeat_ack"
    wait_until(lambda: scene.server.active(place.prefix) == everyone, LIMIT)
    assert time.monotonic() - began < SOON
    assert len(scene.server.entries(place.prefix)) == len(everyone)
    assert scene.listed() == everyone, "nobody was ever away for a reader"

    # A snapshot of the new log tells the watcher to start over.
    messages = [scene.watcher.tell()]
    while not (messages[-1]["op"] == "snapshot" and messages[-1]["last"]):
        messages.append(scene.watcher.tell())
    snapshots = [message for message in messages if message["op"] == "snapshot"]
    log = snapshots[-1]["log"]
    assert log != scene.log
    assert scene.server.client.get(f"{place.prefix}agents:log:name") == log
    # Some may have been put back after the snapshot, as events of the new log.
    known = {agent["id"] for snapshot in snapshots for agent in snapshot["agents"]}
    known |= {m["agent"]["id"] for m in scene.watcher.said_by_now() if m["op"] == "event"}
    assert known == everyone

    old = place.connect().watch(since=scene.registered["revision"], log=scene.log)
    assert old["resumed"] is False
    assert old["log"] == log
    updated = scene.wire.ask("update", port=1)
    assert (updated["op"], updated["log"]) == ("updated", log)
    event = scene.watcher.event("updated")
    assert event["revision"] == updated["revision"]
    new = place.connect().watch(since=updated["revision"], log=log)
    assert new["resumed"] is True
    stored = scene.stored(scene.id)
    assert stored is not None
    assert stored["metadata"] == {"k": 1}
    assert stored["epoch"] >= scene.registered["epoch"]
    assert scene.wire.ask("heartbeat")["durable"] is True


def test_a_session_survives_the_loss_of_all_data(scene: Scene) -> None:
    fault = FAULTS["killed and empty"]
    fault.begin(scene.server)
    fault.end(scene.server)
    scene.recovered()
    scene.wire.reset()
    again = scene.place.connect()
    answer = again.ask("resume", agent_id=scene.id, session_token=scene.registered["session_token"])
    assert answer["op"] == "registered", answer
    assert answer["resumed"] is True


@pytest.mark.parametrize("name", ["killed", "stopped", "read-only", "full"])
def test_a_registration_waits_for_a_store_that_is_away_only_briefly(
    scene: Scene, name: str
) -> None:
    FAULTS[name].begin(scene.server)
    wire = scene.place.connect()
    wire.send({"op": "register", "id": 1, "agent": {"name": "patient", "type": "cost"}})
    time.sleep(0.3)
    FAULTS[name].end(scene.server)
    answer = wire.answer()
    assert answer["op"] == "registered", answer
    assert scene.stored(answer["agent_id"]) is not None


@pytest.mark.parametrize("name", FAULTS)
def test_no_registration_is_acknowledged_that_is_not_stored(scene: Scene, name: str) -> None:
    acknowledged: list[str] = []
    refused: list[str] = []
    ended = threading.Event()

    def keep_registering(kind: str) -> None:
        place = Place(scene.hub, scene.place.namespace)
        while not ended.is_set():
            spec = {"name": "many", "type": "cost", "host": "h", "port": 1}
            if kind == "http":
                response = place.post("/agents/register", json=spec)
                answer = response.json()
                ok = response.status_code == 201
                assert ok or response.status_code == 503, response.text
            else:
                answer = place.connect().ask("register", agent=spec)
                ok = answer["op"] == "registered"
                assert ok or answer["code"] == "unavailable", answer
            (acknowledged if ok else refused).append(str(answer.get("agent_id")))
            time.sleep(0.002)
        place.end()

    threads = [
        threading.Thread(target=keep_registering, args=(kind,), daemon=True)
        for kind in ("http", "http", "websocket")
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(acknowledged) >= 20)
        FAULTS[name].begin(scene.server)
        wait_until(lambda: len(refused) >= 3)
        before = len(acknowledged)
        FAULTS[name].end(scene.server)
        wait_until(lambda: len(acknowledged) >= before + 20)
    finally:
        ended.set()
        for thread in threads:
            thread.join(20)
    scene.recovered()

    def all_there() -> bool:
        return set(acknowledged) <= scene.server.active(scene.place.prefix)

    wait_until(all_there, SOON)
    stored = set(scene.server.entries(scene.place.prefix))
    assert {f"{scene.place.prefix}agent:{each}" for each in acknowledged} <= stored
    assert set(acknowledged) <= scene.listed()
    wait_until(lambda: scene.listed() == scene.server.active(scene.place.prefix), SOON)


@pytest.mark.parametrize("name", ["killed", "stopped"])
def test_nobody_expires_for_an_absence_of_the_store_longer_than_the_lease(
    start_server: Any,
    start_hub: Any,
    enter: Any,
    keep_beating: Callable[..., Beating],
    name: str,
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url, *SCALED))
    watcher = place.watcher()
    beating = keep_beating(place, 3, 0.1)
    watcher.listen(0.2)
    FAULTS[name].begin(server)
    watcher.listen(TIMEOUT + LEASE + 1.0)
    assert any(not answer["durable"] for answer in beating.answers)
    assert place.get("/agents").json()["count"] == 3
    FAULTS[name].end(server)
    wait_until(lambda: server.active(place.prefix) == set(beating.ids), 10)
    wait_until(lambda: len(server.entries(place.prefix)) == 3, 10)
    watcher.listen(TIMEOUT + 0.3)
    told = [message for message in watcher.said_by_now() if message["op"] == "event"]
    assert statuses(told) == ["healthy"]
    assert {event["kind"] for event in told} == {"registered"}
    assert beating.failures == []
    assert beating.answers[-1]["durable"] is True
