"""A heartbeat that says nothing new takes a short way: it must end where the long one does."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import UNSET, structs

from actors.agent.record_writer import RecordWriter
from actors.log.proposal import Proposal, RenewalProposal
from actors.ports.store import Committed
from actors.rules.liveness import Liveness
from actors.rules.records import amend
from actors.rules.states import State
from actors.timing import Timing
from homeport_protocol.record import NO_CHANGES, AgentChanges, AgentRecord, Health
from tests.support.records import NOW, record
from tests.support.world import World

LATER = "2026-01-01T00:00:30.000000Z"
REPORTS = ("healthy", "degraded")


def writer_of(kept: AgentRecord) -> tuple[RecordWriter, list[Proposal | RenewalProposal]]:
    """A writer of that record, and what it proposes."""
    proposals: list[Proposal | RenewalProposal] = []
    context: Any = SimpleNamespace(
        now=lambda: 100.0,
        timestamp=lambda: LATER,
        hub_id="here",
        alone=True,
        timing=Timing(),
        timing_of=lambda _: Timing(),
        log="log",
        store_is_away=False,
        unwritten=lambda _: None,
        holds_removal=False,
        propose=proposals.append,
        new_key=lambda: "here:1",
    )
    writer = RecordWriter(context, SimpleNamespace(), kept.id)  # type: ignore[arg-type]
    writer.adopt(kept, "log")
    return writer, proposals


def records() -> list[AgentRecord]:
    return [
        record(
            status=status,
            health=Health(connection, reported, reason, NOW),  # type: ignore[arg-type]
            epoch=3,
            revision=7,
            hub=hub,
            metadata={**KEPT_METADATA},
            load=1.0,
        )
        for status, reported, connection, reason, hub in product(
            ("healthy", "degraded", "unhealthy"),
            REPORTS,
            ("websocket", "http", "lost"),
            ("ok", "self_reported", "heartbeat_overdue"),
            ("", "here"),
        )
    ]


KEPT_METADATA = {"region": "eu", "cpus": 4, "free": 0.5, "spot": True, "in": {"a": [1, None]}}

NOTHING_NEW = [
    NO_CHANGES,
    AgentChanges(load=0.5),
    AgentChanges(load=0.0),
    AgentChanges(metadata={}),
    AgentChanges(metadata={"absent": None}),
    AgentChanges(metadata={**KEPT_METADATA}),
    AgentChanges(metadata={"region": "eu", "cpus": 4}, load=2.0),
    AgentChanges(metadata={"in": {"a": [1, None]}}),
]
STATUSES = [
    AgentChanges(status="healthy"),
    AgentChanges(status="healthy", load=7.0),
    AgentChanges(status="degraded"),
    AgentChanges(status="degraded", metadata={**KEPT_METADATA}),
    AgentChanges(status="unreachable"),
]
SOMETHING_NEW = [
    AgentChanges(metadata=metadata)
    for metadata in (
        {"region": None},
        {"region": "us"},
        {"new": "eu"},
        {"cpus": 4.0},
        {"cpus": True},
        {"spot": 1},
        {"free": 0},
        {"free": "0.5"},
        {"in": {"a": [True, None]}},
        {"in": {"a": [1.0, None]}},
        {"in": {"a": [1]}},
        {"in": "a"},
        {"region": "eu", "cpus": 5},
    )
]


@pytest.mark.parametrize("said", [*NOTHING_NEW, *STATUSES, *SOMETHING_NEW], ids=str)
@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("overdue", [False, True])
@pytest.mark.parametrize("reported", REPORTS)
@pytest.mark.parametrize(
    "state", [State.CONNECTED, State.POLLING, State.LOST, State.UNREACHABLE], ids=str
)
def test_the_short_way_proposes_what_the_long_way_does(
    state: State, reported: Any, overdue: bool, over_http: bool, said: AgentChanges
) -> None:
    short_ways = 0
    for kept in records():
        liveness = Liveness(state, reported, 100.0)
        liveness.overdue = overdue
        writer, proposals = writer_of(kept)
        if not writer.only_renews(said, liveness, over_http=over_http):
            continue
        short_ways += 1
        writer.renew(said.load, liveness, 100.0)
        before = {name: getattr(liveness, name) for name in Liveness.__slots__}
        status = None if said.status is UNSET else said.status
        liveness.report(status, over_http=over_http)
        assert {name: getattr(liveness, name) for name in Liveness.__slots__} == before
        other, others = writer_of(kept)
        other.write(other.refreshed(amend(kept, said), liveness), liveness, 100.0)
        (short,), (long,) = proposals, others
        assert short.change == long.change  # its head has every byte of the record
        load = kept.load if said.load is UNSET else said.load
        assert short.record == long.record == structs.replace(kept, last_seen=LATER, load=load)
        assert short.born == long.born
    steady = {State.CONNECTED: False, State.POLLING: True}.get(state)
    new = said.status not in (UNSET, reported) or any(said is each for each in SOMETHING_NEW)
    assert bool(short_ways) == (steady is over_http and not overdue and not new)


def test_who_is_owed_something_goes_the_long_way() -> None:
    kept = record(connection="http")
    liveness = Liveness(State.POLLING, "healthy", 100.0)
    writer, _ = writer_of(kept)
    assert writer.only_renews(NO_CHANGES, liveness, over_http=True)
    writer.mark_dirty()
    assert not writer.only_renews(NO_CHANGES, liveness, over_http=True)
    writer, _ = writer_of(kept)
    writer.keep_unwritten(AgentChanges(load=2.0))
    assert not writer.only_renews(NO_CHANGES, liveness, over_http=True)
    writer, _ = writer_of(kept)
    writer.adopt(kept, "an older log")
    assert not writer.only_renews(NO_CHANGES, liveness, over_http=True)


def test_what_an_earlier_change_carried_is_not_owed_for_a_renewal_that_is_refused() -> None:
    writer, _ = writer_of(record(connection="http"))
    liveness = Liveness(State.POLLING, "healthy", 100.0)
    writer.keep_unwritten(AgentChanges(load=2.0))
    current = writer.current
    assert current is not None
    writer.write(current, liveness)
    writer.proposal = None  # its actor failed, and began anew
    writer.renew(UNSET, liveness, 100.0)
    writer.refused()
    assert not writer.dirty


def test_an_update_that_changes_nothing_takes_a_refused_report_back() -> None:
    world = World()
    link, answer = world.agent()
    commit = world.port.commit

    def poisoned(changes: Any, reply: Any, **_: Any) -> None:
        world.port.commit = commit  # type: ignore[method-assign]
        log, revision = world.store.log_name, world.store.revision
        reply(Committed(log=log, before=revision, results=["poisoned"]))

    world.port.commit = poisoned  # type: ignore[method-assign,assignment]
    assert link.ask(op="heartbeat", status="degraded")["code"] == "conflict"
    assert link.ask(op="update", status="healthy")["op"] == "updated"
    assert link.ask(op="heartbeat")["durable"] is True
    assert world.record(answer["agent_id"])["status"] == "healthy"
