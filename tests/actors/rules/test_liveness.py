"""The rules of silence, grace and removal, and that they stand in one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import actors
from actors.ports.clock import INFINITE
from actors.rules.liveness import (
    HOLD_CHECK,
    Liveness,
    StartGrace,
    lease_left,
    renewal_due,
    renewed_at,
)
from actors.rules.states import State, StateChange
from actors.timing import Timing
from homeport_protocol.record import AgentRecord, Health
from homeport_protocol.timestamps import format_timestamp
from tests.support.records import record

TIMING = Timing(heartbeat_timeout=45.0, lease_ttl=60.0, resume_window=5.0)
NOW = 1000.0
WALL = 1_700_000_000.0

PACKAGE = Path(actors.__file__).parent
RULES = PACKAGE / "rules" / "liveness.py"


def written(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Every attribute of something else than `self` that the code assigns or deletes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id == "self"):
                yield node


def test_nobody_outside_the_rules_writes_to_a_liveness() -> None:
    facts = set(Liveness.__slots__)
    found = [
        f"{path.relative_to(PACKAGE)}:{each.lineno}: {ast.unparse(each)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != RULES
        for each in written(ast.parse(path.read_text()))
        if each.attr in facts
    ]
    assert found == [], "a rule of silence, grace or removal stands outside of its module"


def test_the_rules_themselves_are_seen_to_write() -> None:
    """The check above would pass with anything if it found nothing here."""
    tree = ast.parse(RULES.read_text())
    assert {each.attr for each in written(tree)} & set(Liveness.__slots__)


def stored(
    connection: str, status: str = "healthy", reason: str = "ok", ago: float = 0.0
) -> AgentRecord:
    """A record whose status has been what it is for `ago` seconds."""
    since = format_timestamp(WALL - ago)
    return record(status=status, health=Health(connection, "healthy", reason, since))  # type: ignore[arg-type]


@pytest.mark.parametrize(("message", "overdue"), [*product((False, True), (False, True))], ids=str)
def test_activity_that_is_no_message_leaves_an_agent_overdue(message: bool, overdue: bool) -> None:
    reason = "heartbeat_overdue" if overdue else "ok"
    liveness = Liveness.recovered(stored("websocket", reason=reason), NOW)
    assert liveness.activity_came(NOW + 1, message=message) is (message and overdue)
    assert liveness.overdue is (overdue and not message)
    assert liveness.last_activity_at == NOW + 1
    assert liveness.last_message_at == (NOW + 1 if message else NOW)


def test_an_agent_taken_over_has_the_grace_to_come_back() -> None:
    liveness = Liveness.taken_over(stored("websocket"), NOW, wall=WALL, grace=5.0, timing=TIMING)
    assert liveness.state is State.LOST
    assert liveness.deadline(TIMING) == NOW + 5.0
    assert liveness.pass_time(NOW + 5.0, TIMING) is StateChange.SILENT
    assert liveness.derived_status().reason == "connection_lost"


def test_an_agent_whose_hub_drained_it_has_a_heartbeat_timeout_to_come_back() -> None:
    drained = stored("lost", reason="draining")
    liveness = Liveness.taken_over(drained, NOW, wall=WALL, grace=5.0, timing=TIMING)
    told_at = NOW + TIMING.resume_window
    assert liveness.deadline(TIMING) == told_at
    assert liveness.derived_status().reason == "draining"
    assert liveness.pass_time(told_at, TIMING) is StateChange.SOCKET_LOST
    assert liveness.state is State.LOST
    assert liveness.derived_status().reason == "ok"
    assert liveness.deadline(TIMING) == NOW + TIMING.heartbeat_timeout


@pytest.mark.parametrize(("ago", "left"), [(20.0, 40.0), (58.0, 5.0), (500.0, 5.0)])
def test_an_unreachable_agent_taken_over_stays_for_the_rest_of_its_lease_and_the_grace(
    ago: float, left: float
) -> None:
    lost = stored("lost", "unreachable", "connection_lost", ago)
    liveness = Liveness.taken_over(lost, NOW, wall=WALL, grace=5.0, timing=TIMING)
    assert liveness.deadline(TIMING) == pytest.approx(NOW + left)
    assert lease_left(lost, WALL, TIMING) == pytest.approx(60.0 - ago)


def test_an_actor_that_starts_again_leaves_the_agent_its_session_and_its_whole_lease() -> None:
    connected = Liveness.restarted(stored("websocket"), NOW, TIMING)
    assert connected.state is State.CONNECTED
    lost = Liveness.restarted(stored("lost"), NOW, TIMING)
    assert lost.deadline(TIMING) == NOW + TIMING.resume_window
    unreachable = stored("lost", "unreachable", "connection_lost", 500.0)
    restarted = Liveness.restarted(unreachable, NOW, TIMING)
    assert restarted.deadline(TIMING) == NOW + TIMING.lease_ttl


@pytest.mark.parametrize("owned", [False, True])
def test_what_another_hub_made_of_an_agent_keeps_the_times_that_are_known_here(
    owned: bool,
) -> None:
    before = Liveness.taken_over(stored("lost"), NOW, wall=WALL, grace=5.0, timing=TIMING)

    def carried(record: AgentRecord) -> Liveness:
        return Liveness.carried_over(
            record, before, NOW + 3, wall=WALL + 3, owned=owned, timing=TIMING
        )

    resumed = carried(stored("websocket"))
    assert resumed.state is (State.LOST if owned else State.CONNECTED)
    assert resumed.resume_until == NOW + 5.0
    assert resumed.last_activity_at == NOW


def test_one_found_unreachable_without_a_known_end_stays_for_the_rest_of_its_lease() -> None:
    before = Liveness(State.POLLING, "healthy", NOW)
    lost = stored("http", "unreachable", "heartbeat_timeout", 20.0)
    liveness = Liveness.carried_over(lost, before, NOW, wall=WALL, owned=True, timing=TIMING)
    assert liveness.deadline(TIMING) == pytest.approx(NOW + 40.0)


@pytest.mark.parametrize("state", [State.CONNECTED, State.POLLING], ids=str)
def test_activity_at_another_hub_never_turns_time_back(state: State) -> None:
    liveness = Liveness(state, "healthy", NOW)
    liveness.active_elsewhere(NOW - 10)
    assert (liveness.last_activity_at, liveness.last_message_at) == (NOW, NOW)
    liveness.active_elsewhere(NOW + 10)
    assert (liveness.last_activity_at, liveness.last_message_at) == (NOW + 10, NOW + 10)


def test_an_unreachable_agent_is_stored_for_as_long_as_it_is_listed() -> None:
    liveness = Liveness(State.POLLING, "healthy", NOW)
    assert liveness.storage_ttl(NOW, TIMING, removal_held=True) == TIMING.lease_ttl
    later = NOW + TIMING.heartbeat_timeout
    assert liveness.pass_time(later, TIMING) is StateChange.SILENT
    assert liveness.storage_ttl(later, TIMING, removal_held=False) == TIMING.lease_ttl
    assert liveness.storage_ttl(later, TIMING, removal_held=True) == 2 * TIMING.lease_ttl
    liveness.grant_fresh_timeout(later + 50, TIMING)
    until = later + 50 + TIMING.heartbeat_timeout
    assert liveness.storage_ttl(later, TIMING, removal_held=False) == until - later
    assert liveness.pass_time(until, TIMING) is StateChange.LEASE_OVER
    liveness.hold_removal(until, until + 600, TIMING)
    assert liveness.deadline(TIMING) == until + HOLD_CHECK
    liveness.hold_removal(until, until + 0.5, TIMING)
    assert liveness.deadline(TIMING) == until + 0.5


def test_one_that_a_stopping_hub_let_go_of_is_left_to_another_one() -> None:
    liveness = Liveness(State.CONNECTED, "healthy", NOW)
    liveness.drained()
    assert liveness.derived_status().reason == "draining"
    assert liveness.resume_until == INFINITE


def test_agents_found_by_a_hub_that_starts_have_a_heartbeat_timeout_from_its_start() -> None:
    grace = StartGrace(7, NOW)
    found, changed_since = record(revision=7), record(revision=8)
    assert grace.seconds(found, NOW + 10, TIMING) == TIMING.heartbeat_timeout - 10
    assert grace.seconds(changed_since, NOW + 10, TIMING) == TIMING.resume_window
    assert grace.seconds(found, NOW + 1000, TIMING) == TIMING.resume_window


def test_when_an_entry_is_to_be_renewed_and_when_it_was() -> None:
    assert not renewal_due(NOW, NOW + TIMING.lease_ttl / 3, TIMING)
    assert renewal_due(NOW, NOW + TIMING.lease_ttl / 3 + 0.1, TIMING)
    assert renewed_at(50.0, NOW, TIMING) == NOW - 10.0
    assert renewed_at(90.0, NOW, TIMING) == NOW, "it was kept for longer than a lease"
