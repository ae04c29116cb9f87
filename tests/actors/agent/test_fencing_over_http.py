"""Callers over HTTP are fenced by session tokens; an older process changes nothing of a newer one.

Only a caller that shows no token, of an agent that comes over HTTP itself, is taken at its word.
"""

from __future__ import annotations

from typing import Any

import pytest

from actors.rules.permissions import ANYBODY
from tests.support.world import World

ID = "550e8400-e29b-41d4-a716-446655440000"


def changed(world: World, token: str | None) -> Any:
    """What a heartbeat that would change everything is answered with."""
    return world.http_heartbeat(ID, token, status="unhealthy", metadata={"build": "old"})


def holds(world: World) -> None:
    """The newer session has its agent, unchanged."""
    record = world.record(ID)
    assert (record["status"], record["metadata"]) == ("healthy", {"build": "new"})


NEW = {"agent_id": ID, "metadata": {"build": "new"}}


# --- an older process over HTTP, and a newer session ---------------------------------------------


@pytest.mark.parametrize("shows", ["its token", "nothing"])
def test_an_older_http_process_neither_changes_nor_ends_a_newer_session(shows: str) -> None:
    world = World()
    old = world.http_register("a1", ID)
    link, _ = world.agent("a1", **NEW)
    watcher = world.watcher()
    token, code = (old.session_token, "fenced") if shows == "its token" else (None, "conflict")
    assert changed(world, token).code == code
    holds(world)
    assert world.http_unregister(ID, token).code == code
    holds(world)
    assert watcher.events() == []
    assert link.ask(op="heartbeat")["durable"] is True


def test_its_heartbeats_are_no_sign_of_life_of_the_newer_session() -> None:
    world = World()
    world.http_register("a1", ID)
    link, _ = world.agent("a1", **NEW)
    link.answers_pings = False
    for _ in range(5):
        world.advance(9)
        assert world.http_heartbeat(ID).code == "conflict"
    world.advance(0.2)
    assert world.record(ID)["status"] == "unreachable"


@pytest.mark.parametrize("later", [1, 46, 60])
def test_nor_does_it_take_over_while_the_newer_session_is_lost_or_unreachable(later: float) -> None:
    world = World()
    old = world.http_register("a1", ID)
    link, answer = world.agent("a1", **NEW)
    link.vanish()
    world.advance(later - 0.5)
    before = world.record(ID)
    assert changed(world, None).code == "conflict"
    assert changed(world, old.session_token).code == "fenced"
    assert world.http_unregister(ID).code == "conflict"
    assert world.record(ID) == before
    again = world.connect()
    again.ask(op="resume", agent_id=ID, session_token=answer["session_token"])
    holds(world)


def test_once_the_newer_one_is_gone_the_older_is_unknown_and_may_register() -> None:
    world = World()
    old = world.http_register("a1", ID)
    link, _ = world.agent("a1", **NEW)
    link.ask(op="unregister")
    assert changed(world, old.session_token).code == "not_found"
    assert world.http_unregister(ID, old.session_token).durable is True
    assert world.http_register("a1", ID).epoch == 3


# --- two processes over HTTP ---------------------------------------------------------------------


def test_of_two_http_processes_the_older_token_is_fenced() -> None:
    world = World()
    old = world.http_register("a1", ID)
    world.advance(1)
    new = world.http_register("a1", ID, metadata={"build": "new"})
    assert old.session_token != new.session_token
    assert changed(world, old.session_token).code == "fenced"
    assert world.http_unregister(ID, old.session_token).code == "fenced"
    holds(world)
    assert world.http_heartbeat(ID, new.session_token).durable is True
    assert world.http_unregister(ID, new.session_token).durable is True
    assert ID not in world.supervisor.directory


def test_legacy_callers_of_a_legacy_agent_go_on_unchanged() -> None:
    world = World()
    world.http_register("a1", ID)
    assert changed(world, None).durable is True
    assert world.record(ID)["status"] == "unhealthy"
    assert world.http_unregister(ID).durable is True
    assert ID not in world.supervisor.directory


def test_a_registration_over_http_takes_over_from_a_session_and_legacy_calls_count_again() -> None:
    world = World()
    link, answer = world.agent("a1", **NEW)
    world.http_register("a1", ID)
    assert link.close_code == 4409
    assert world.http_heartbeat(ID, answer["session_token"]).code == "fenced"
    assert changed(world, None).durable is True


# --- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "nonsense", "2026-11-20T12:00:00.000000Z.0123", "x" * 300])
def test_a_token_that_is_none_of_this_agents_is_unauthorized(token: str) -> None:
    world = World()
    other = world.http_register("other")
    world.http_register("a1", ID)
    for shown in (token, other.session_token):
        assert changed(world, shown).code == "unauthorized"
        assert world.http_unregister(ID, shown).code == "unauthorized"
    assert "metadata" not in world.record(ID)


def test_the_token_of_a_session_is_good_over_http_and_the_session_goes_on() -> None:
    world = World()
    link, answer = world.agent("a1", **NEW)
    token = answer["session_token"]
    assert world.http_heartbeat(ID, token, status="degraded").durable is True
    assert world.record(ID)["health"]["connection"] == "websocket"
    assert link.ask(op="heartbeat")["durable"] is True
    assert world.http_unregister(ID, token).durable is True
    assert (link.close_code, link.close_reason) == (1000, "unregistered")


def test_heartbeats_that_wait_are_not_answered_by_one_with_another_token() -> None:
    world = World()
    old = world.http_register("a1", ID)
    world.advance(1)
    new = world.http_register("a1", ID)
    outcomes: list[Any] = []
    for token in (new.session_token, None, old.session_token, new.session_token):
        world.supervisor.heartbeat(
            ID, "healthy", {}, outcomes.append, token=token, principal=ANYBODY
        )
    world.settle()
    assert [getattr(each, "code", "ok") for each in outcomes] == ["ok", "ok", "fenced", "ok"]


def test_a_late_answer_takes_nothing_from_a_caller_that_may_not_speak() -> None:
    world = World()
    world.http_register("a1", ID)
    link, _ = world.agent("a1", **NEW)
    world.store.reachable = False
    link.say(op="update", id="u", version="2")
    outcomes: list[Any] = []
    world.supervisor.heartbeat(
        ID, "unhealthy", {"build": "old"}, outcomes.append, principal=ANYBODY
    )
    world.advance(3)
    world.store.reachable = True
    world.advance(5)
    holds(world)


# --- an operator ---------------------------------------------------------------------------------


def test_an_operator_removes_whoever_holds_the_agent() -> None:
    world = World()
    watcher = world.watcher()
    link, _ = world.agent("a1", **NEW)
    assert world.remove(ID).durable is True
    assert (link.close_code, link.close_reason) == (1000, "unregistered")
    world.http_register("a1", ID)
    assert world.remove(ID.upper()).durable is True
    assert [kind for kind, _, _ in watcher.events()] == ["registered", "unregistered"] * 2
    world.check_store()


def test_an_operator_is_told_when_there_is_no_such_agent() -> None:
    world = World()
    assert world.remove(ID).code == "not_found"
    world.http_register("a1", ID)
    world.remove(ID)
    assert world.remove(ID).code == "not_found"
