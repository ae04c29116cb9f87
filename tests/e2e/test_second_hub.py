"""A second hub that is started by mistake, with the name, port and Redis of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.test_starting import fails
from tests.support.waiting import wait_until


def test_it_fails_and_the_first_notices_nothing(
    tmp_path: Path, start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    options = ("--redis", server.url, "--hub-id", "one")
    hub = start_hub(*options)
    place = enter(hub, None)
    agent, _ = place.agent("a")
    watcher = place.watcher()
    status, said = fails(tmp_path / "second", "--port", str(hub.port), *options)
    assert (status, "already in use" in said) == (1, True)
    watcher.listen(0.5)
    assert watcher.said_by_now() == []
    assert agent.ask("heartbeat")["durable"] is True
    assert "writer generation" not in hub.log()


def test_of_two_with_one_name_on_two_ports_the_older_ends_and_says_why(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    options = ("--redis", server.url, "--hub-id", "same")
    older = start_hub(*options)
    enter(older, None).agent("a")
    newer = start_hub(*options)
    place = enter(newer, None)
    agent, registered = place.agent("b")
    assert older.wait(20) == 1
    sentence = f"another hub, at {newer.url}, uses this hub's id same: give each its own --hub-id"
    assert older.log().rstrip().endswith(f"homeport: {sentence}.")
    assert older.log().count(sentence) == 2  # in its log, and as its last line on stderr
    for _ in range(20):
        assert agent.ask("heartbeat")["durable"] is True
    assert place.record(registered["agent_id"])["status"] == "healthy"
    assert place.get("/ready").status_code == 200
    assert "the store is away" not in newer.log()
    assert "uses this hub's id" not in newer.log()


def test_a_killed_hub_comes_back_at_once_under_its_name(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    options = ("--redis", start_server().url, "--hub-id", "same")
    start_hub(*options).kill()
    hub = start_hub(*options)
    agent, _ = enter(hub, None).agent("a")
    assert agent.ask("heartbeat")["durable"] is True
    assert "uses this hub's id" not in hub.log()


def test_workers_with_the_name_of_other_workers_end_all_and_are_not_started_again(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    options = ("--redis", start_server().url, "--hub-id", "same", "--workers", "2")
    older, newer = start_hub(*options), start_hub(*options)
    assert older.wait(30) == 1
    last = older.log().rstrip().splitlines()[-1]
    assert last.startswith(f"homeport: another hub, at {newer.url}, uses this hub's id same-")
    assert "starting it again" not in older.log()
    wait_until(lambda: enter(newer, None).get("/ready").status_code == 200)


def test_a_hub_that_was_frozen_ends_when_another_has_its_name_meanwhile(
    start_server: Any, start_hub: Any
) -> None:
    options = ("--redis", start_server().url, "--hub-id", "same")
    frozen = start_hub(*options)
    frozen.suspend()
    try:
        newer = start_hub(*options)
    finally:
        frozen.wake()
    assert frozen.wait(20) == 1
    assert f"another hub, at {newer.url}, uses this hub's id same" in frozen.log()
