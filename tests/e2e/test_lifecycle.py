"""A hub stops, gracefully or not, and the next one starts on the same data."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import LIMIT, wait_until

RETRY = re.compile(r"retry in (\d+(?:\.\d+)?) s")


# -- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_hub_gracefully(
    start_server: Any, start_hub: Any, enter: Any, number: signal.Signals
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    place = enter(hub)
    agents = [place.agent(f"n{n}") for n in range(20)]
    observer = place.watcher()
    # Sent and not yet answered: it is committed as a whole or not at all.
    agents[0][0].send({"op": "update", "id": 99, "version": "last words"})
    began = time.monotonic()
    hub.signal(number)
    hints = []
    for wire in [observer, *(wire for wire, _ in agents)]:
        code, reason = wire.closing()
        assert code == 1001
        found = RETRY.search(reason)
        assert found is not None, reason
        hints.append(float(found[1]))
    assert hub.wait(LIMIT) == 0
    assert time.monotonic() - began < 10
    assert len(set(hints)) > 1, "spread over the fleet"
    assert all(0 <= hint <= 60 for hint in hints)
    ids = {registered["agent_id"] for _, registered in agents}
    assert server.active(place.prefix) == ids, "agents outlive the hub"
    assert len(server.entries(place.prefix)) == 20
    assert "Traceback" not in hub.log()


def test_everything_acknowledged_before_the_end_is_stored(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    place = enter(hub)
    acknowledged: list[str] = []

    def keep_registering() -> None:
        body = {"name": "n", "type": "cost", "host": "h", "port": 1}
        while True:
            try:
                response = place.post("/agents/register", json=body)
            except OSError:
                return
            if response.status_code != 201:
                return
            acknowledged.append(response.json()["agent_id"])

    thread = threading.Thread(target=keep_registering, daemon=True)
    thread.start()
    wait_until(lambda: len(acknowledged) >= 20)
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    thread.join(LIMIT)
    assert set(acknowledged) <= server.active(place.prefix)


def test_clients_that_do_not_answer_do_not_hold_up_the_end(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://")
    place = enter(hub)
    deaf = [place.connect(answers_pings=False) for _ in range(5)]
    deaf[0].watch()
    chatty, _ = place.agent("chatty", metadata={"pad": "x" * 15_000})
    for port in range(100):
        chatty.ask("update", port=port)
    with socket.create_connection(("127.0.0.1", hub.port)) as half:
        half.sendall(
            b"POST /agents/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        )
        hub.signal(signal.SIGTERM)
        assert hub.wait(12) == 0


def test_a_stopped_store_does_not_hold_up_the_end(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    wire, _ = enter(hub).agent("owed")
    server.suspend()
    try:
        wire.send({"op": "heartbeat", "id": 1, "status": "degraded"})
        hub.signal(signal.SIGTERM)
        assert hub.wait(12) in (0, 1)
    finally:
        server.wake()


def test_a_second_start_after_a_graceful_end_finds_everything(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    wire, registered = place.agent("kept", metadata={"k": 1}, capabilities=["c"])
    revision = watcher.event("registered")["revision"]
    http_id = place.register(name="http-kept")
    hub.signal(signal.SIGTERM)
    assert wire.closing()[0] == 1001
    watcher.closing()
    assert hub.wait(LIMIT) == 0

    again = enter(start_hub(*store), place.namespace)
    assert {a["id"] for a in again.get("/agents").json()["agents"]} == {
        registered["agent_id"],
        http_id,
    }
    watcher = again.connect()
    assert watcher.watch(since=revision, log=watching["log"])["resumed"] is True
    answer = again.connect().ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["resumed"] is True
    assert answer["epoch"] > registered["epoch"]
    told = watcher.said_by_now()
    assert "unreachable" not in [event["agent"]["status"] for event in told]
    assert told[-1]["kind"] == "resumed"
    assert told[-1]["agent"]["metadata"] == {"k": 1}


# -- kill -9 ------------------------------------------------------------------------------------


def test_after_kill_9_a_restart_finds_all_agents_and_nobody_was_unreachable(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    agents = [place.agent(f"n{n}", metadata={"n": n}, load=n) for n in range(30)]
    http_ids = {place.register(name=f"h{n}") for n in range(5)}
    last = [watcher.event("registered") for _ in range(35)][-1]["revision"]
    records = {a["id"]: a for a in watcher.ask("find")["agents"]}
    hub.kill()
    for wire, _ in agents:
        assert wire.closing()[0] is None

    again = enter(start_hub(*store), place.namespace)
    found = {a["id"]: a for a in again.get("/agents").json()["agents"]}
    assert set(found) == set(records)
    for agent_id, record in found.items():
        before = records[agent_id]
        for name in ("name", "metadata", "load", "registered_at", "capabilities", "status"):
            assert record.get(name) == before.get(name)

    watcher = again.connect()
    rewatching = watcher.watch(since=last, log=watching["log"])
    assert rewatching["resumed"] is True
    assert rewatching["log"] == watching["log"]
    for _, registered in agents:
        wire = again.connect()
        answer = wire.ask(
            "resume",
            agent_id=registered["agent_id"],
            session_token=registered["session_token"],
        )
        assert answer["op"] == "registered", answer
        assert answer["resumed"] is True
        assert answer["agent_id"] == registered["agent_id"]
        assert answer["epoch"] > registered["epoch"]
        assert wire.ask("heartbeat")["durable"] is True
    for agent_id in http_ids:
        assert again.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 200
    told = watcher.said_by_now()
    assert all(message["op"] == "event" for message in told), "no snapshot"
    assert {event["agent"]["status"] for event in told} == {"healthy"}
    resumed = [e["agent"]["id"] for e in told if e["kind"] == "resumed"]
    assert sorted(resumed) == sorted(registered["agent_id"] for _, registered in agents)
    revisions = [event["revision"] for event in told]
    assert revisions == sorted(set(revisions))
    assert revisions[0] == last + 1, "no gap"


def test_a_wrong_token_is_still_wrong_after_a_restart(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    _, mine = place.agent("mine")
    _, other = place.agent("other")
    hub.kill()
    again = enter(start_hub(*store), place.namespace)
    wire = again.connect()
    for token in (other["session_token"], "", mine["session_token"] + "x"):
        answer = wire.ask("resume", agent_id=mine["agent_id"], session_token=token)
        assert answer["code"] == "unauthorized", answer
    answer = wire.ask("resume", agent_id=mine["agent_id"], session_token=mine["session_token"])
    assert answer["resumed"] is True


def test_a_fenced_token_stays_fenced_after_a_restart(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    old, first = place.agent("doubled")
    new = place.connect()
    second = new.register("doubled", agent_id=first["agent_id"])
    assert old.closing()[0] == 4409
    hub.kill()
    again = enter(start_hub(*store), place.namespace)
    wire = again.connect()
    answer = wire.ask("resume", agent_id=first["agent_id"], session_token=first["session_token"])
    assert answer["op"] == "error"
    assert answer["code"] in ("fenced", "unauthorized")
    answer = wire.ask("resume", agent_id=first["agent_id"], session_token=second["session_token"])
    assert answer["op"] == "registered", answer
    assert answer["epoch"] > second["epoch"]


def test_memory_keeps_nothing_and_says_so(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://")
    place = enter(hub)
    place.register()
    assert place.get("/agents").json()["count"] == 1
    assert re.search(r"keeps? nothing|nothing is kept", hub.line + hub.log())
