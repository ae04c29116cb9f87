"""Each checker passes a good history, and catches one that is wrong in a single point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import UNSET, structs

from homeport_protocol.record import AgentRecord, Health
from homeport_protocol.timestamps import format_timestamp
from tests.history.checks import CHECKS, longest_until_found, violations
from tests.history.checks.owners import CLAIMED_BY
from tests.history.recorded import (
    OLDER,
    Alarm,
    Ask,
    Elsewhere,
    Entry,
    Event,
    Fault,
    Found,
    History,
    Living,
    Loss,
    Session,
    Slack,
    Snapshot,
    Stored,
    Terms,
    Watch,
)

TERMS = Terms(heartbeat_timeout=5.0, lease_ttl=8.0, resume_window=2.0, hub_lease=10.0, hold=6.0)
A, B, C = "agent-a", "agent-b", "agent-c"


def record(agent_id: str, revision: int, *, at: float = 0.0, **fields: object) -> AgentRecord:
    """A record as of a revision; `at` is when it was last seen and when its status changed."""
    connection = fields.pop("connection", "websocket")
    reason = fields.pop("reason", "ok")
    since = format_timestamp(at)
    return AgentRecord(
        id=agent_id,
        name=agent_id,
        type="cost",
        registered_at=format_timestamp(0.0),
        last_seen=since,
        health=Health(connection, "healthy", str(reason), since),  # type: ignore[arg-type]
        hub="hub-1",
        revision=revision,
        **fields,  # type: ignore[arg-type]
    )


def good() -> History:
    """Two agents register; one updates, one leaves, a third is lost; a watcher moves in between."""
    a1, b2 = record(A, 1), record(B, 2)
    a3 = record(A, 3, version="2")
    c4 = record(C, 4)
    b5 = b2
    c6 = record(
        C, 6, at=20.0, status="unreachable", connection="lost", reason="connection_lost", epoch=1
    )
    c7 = structs.replace(c6, revision=7)
    a8 = record(A, 8, version="2", epoch=2)
    events = [
        Event(at=1.1, revision=1, kind="registered", agent=a1),
        Event(at=1.2, revision=2, kind="registered", agent=b2),
        Event(at=2.1, revision=3, kind="updated", agent=a3),
        Event(at=2.2, revision=4, kind="registered", agent=c4),
        Event(at=3.1, revision=5, kind="unregistered", agent=b5),
        Event(at=20.1, revision=6, kind="status_changed", agent=c6),
        Event(at=28.1, revision=7, kind="expired", agent=c7),
        Event(at=30.1, revision=8, kind="resumed", agent=a8),
    ]
    first = Watch(watcher="w", hub="hub-1", at=0.5, resumed=False, log="L", revision=0)
    first.seen = [Snapshot(at=0.5, log="L", revision=0, agents=[]), *events[:4]]
    first.open = False
    second = Watch(
        watcher="w", hub="hub-2", at=3.0, resumed=True, log="L", revision=4, since=4, since_log="L"
    )
    second.seen = list(events[4:])
    other = Watch(watcher="o", hub="hub-1", at=2.5, resumed=False, log="L", revision=4)
    other.seen = [Snapshot(at=2.5, log="L", revision=4, agents=[a3, b2, c4])]
    other.seen += [structs.replace(event) for event in events[4:]]
    sessions = [
        Session(number=1, agent_id=A, hub="hub-1", opened=0.9, epoch=1, joined=1.1),
        Session(number=2, agent_id=C, hub="hub-1", opened=2.0, epoch=1, joined=2.2, ended=17.9),
        Session(number=3, agent_id=A, hub="hub-2", opened=29.9, epoch=2, joined=30.1),
    ]
    sessions[0].ended, sessions[0].closed, sessions[0].code = 30.3, 30.3, 4409
    asks = [
        _ask("register", A, 1.0, 1, session=1, given=1, version="1"),
        _ask("register", B, 1.1, 2, given=1),
        _ask("update", A, 2.0, 3, session=1, epoch=1, version="2"),
        _ask("register", C, 2.1, 4, session=2, given=1),
        _ask("unregister", B, 3.0, 0),
        _ask("heartbeat", A, 10.0, 0, session=1, epoch=1),
        _ask("heartbeat", C, 14.9, 0, session=2, epoch=1),
        _ask("resume", A, 30.0, 8, session=3, given=2),
    ]
    found = [
        Found(at=at, hub=hub, log="L", revision=8, agents=[a8])
        for at in (41.0, 80.0)
        for hub in ("hub-1", "hub-2")
    ]
    return History(
        terms=TERMS,
        sessions=sessions,
        asks=asks,
        watches=[first, second, other],
        living=[Living(agent_id=A, way="websocket", since=0.0)],
        dead={B: 3.1, C: 17.9},
        found=found,
        stored=Stored(at=80.0, log="L", revision=8, records={A: a8}, active=[A]),
        calm_from=31.0,
        end=80.0,
    )


def _ask(
    op: str,
    agent_id: str,
    said: float,
    revision: int,
    *,
    session: int | None = None,
    epoch: int = 0,
    given: int = 0,
    version: str | None = None,
) -> Ask:
    return Ask(
        said=said,
        op=op,  # type: ignore[arg-type]
        agent_id=agent_id,
        hub="hub-1",
        session=session,
        epoch=epoch,
        says={} if version is None else {"version": version},
        answered=said + 0.1,
        code="ok",
        given=given,
        revision=revision,
        log="L" if revision else "",
    )


Spoil = Callable[[History], object]


def _event(history: History, watch: int, place: int) -> Event:
    seen = history.watches[watch].seen[place]
    assert isinstance(seen, Event)
    return seen


def _change_agent(history: History, watch: int, place: int, **fields: object) -> None:
    event = _event(history, watch, place)
    event.agent = structs.replace(event.agent, **fields)


def _judge_at(history: History, at: float) -> None:
    """C became unreachable at another time, everywhere."""
    for watch, place in ((1, 1), (2, 2)):
        event = _event(history, watch, place)
        since = format_timestamp(at)
        event.agent = structs.replace(
            event.agent, health=structs.replace(event.agent.health, since=since)
        )


def _verdict_twice(history: History) -> None:
    for watch, place in ((1, 2), (2, 3)):
        _event(history, watch, place).kind = "status_changed"


def _heard(history: History, **says: object) -> None:
    """A heartbeat of the last session is acknowledged, and not durable yet."""
    ask = _ask("heartbeat", A, 33.0, 0, session=3, epoch=2)
    ask.says.update(says)
    ask.durable = False
    history.asks.append(ask)


def _old_session_writes(history: History) -> None:
    history.asks.append(_ask("heartbeat", A, 31.0, 0, session=1, epoch=1))


def _older(history: History, agent_id: str) -> None:
    """An older process had registered the agent over HTTP."""
    ask = _ask("register", agent_id, 0.1, 0, given=-1)
    history.asks.append(ask)
    ask.says["metadata"] = OLDER


def _lose(history: History, kept: int) -> None:
    """The store comes back older just before the second watch, and no hub lives."""
    at = history.watches[1].at - 0.1
    history.losses.append(Loss(at=at, log="L", kept=kept, unseen=True))


def _refused(history: History) -> None:
    """The second watch asks by what was lost, and gets a snapshot of the log that goes on."""
    watch = history.watches[1]
    watch.known_at, watch.resumed = 1.0, False


def _fight(history: History, pause: float) -> None:
    """Three registrations of A at hub-1, each of which takes the place of the one before."""
    for number in range(4):
        at, epoch = 32.0 + number * pause, 3 + number
        session = Session(
            number=10 + number, agent_id=A, hub="hub-1", opened=at, epoch=epoch, joined=at + 0.1
        )
        if number < 3:
            session.ended = session.closed = at + pause + 0.1
            session.code = 4409
        history.sessions.append(session)
        history.asks.append(_ask("register", A, at, 0, session=session.number, given=epoch))


def _claimed(history: History) -> None:
    """What was the resumption of A was an exclusive registration, by another program."""
    history.asks[7].op = "register"
    history.asks[7].says["exclusive"] = True


def _registered_for(
    history: History, *times: tuple[int, float, str], said_for: str = "token:a"
) -> None:
    """The log tells of registrations of A: revision, when it was registered, and for whom."""
    for revision, at, owner in times:
        said = {CLAIMED_BY: said_for}
        agent = structs.replace(record(A, revision), registered_at=format_timestamp(at))
        agent = structs.replace(agent, metadata=said if revision > 1 else UNSET)
        entry = Entry(log="L", revision=revision, kind="registered", agent=agent, owner=owner)
        history.entries.append(entry)


def _told_more_time(history: History) -> None:
    """C was told 7 s, fell silent on a connection that lived, and was judged after 5."""
    history.sessions[1].ended = None
    history.asks[3].told = 7.0
    for watch, place in ((1, 1), (2, 2)):
        event = _event(history, watch, place)
        health = structs.replace(event.agent.health, reason="heartbeat_timeout")
        event.agent = structs.replace(event.agent, health=health)


def _show(history: History, at: float, *agents: AgentRecord) -> None:
    """A reading of hub-1 that is not the last one."""
    history.found.insert(0, Found(at=at, hub="hub-1", log="L", revision=8, agents=[*agents]))


def _held_for_ever(history: History) -> None:
    _show(history, 60.0, record(C, 6, at=44.9, status="unreachable", connection="lost"))


def _held_without_bounds(history: History) -> None:
    gone = [record(f"gone-{n}", 6, at=48.0, status="unreachable") for n in range(11)]
    _show(history, 57.5, *gone)


def _held_though_replaced(history: History) -> None:
    lost = record(C, 6, at=45.0, status="unreachable", connection="lost")
    successor = structs.replace(record("agent-d", 8), name=C, registered_at=format_timestamp(46.0))
    _show(history, 47.0, lost, successor)
    history.found[0].held = [C]


WRONG: dict[str, list[Spoil]] = {
    "watch_is_ordered": [
        lambda h: h.watches[0].seen.append(h.watches[0].seen[-1]),
        lambda h: h.watches[0].seen.reverse(),
    ],
    "watch_has_no_gap": [
        lambda h: h.watches[0].seen.pop(2),
        lambda h: h.watches[1].seen.pop(),
        lambda h: (
            setattr(h.watches[2], "filter", {"status": "unreachable"}),
            h.watches[2].seen.pop(2),
        ),
    ],
    "watch_keeps_to_its_kinds": [
        lambda h: setattr(h.watches[2], "kinds", ["registered", "expired"]),
    ],
    "drained_is_told_late": [
        lambda h: h.watches[0].seen.append(
            Event(
                at=9.0,
                revision=99,
                kind="lost",
                agent=record(A, 99, version="2", connection="lost", reason="draining"),
            )
        ),
    ],
    "watch_resumes": [
        lambda h: setattr(h.watches[1], "log", "M"),
        lambda h: setattr(h.watches[1], "since", 6),
        lambda h: h.watches[0].seen.pop(0),
    ],
    "watch_gives_the_directory": [
        lambda h: setattr(h.watches[2].seen[0], "agents", [record("agent-d", 4)]),
        lambda h: [f.agents.clear() for f in h.found],
    ],
    "same_revision_same_event": [
        lambda h: _change_agent(h, 2, 2, version="9"),
        lambda h: setattr(_event(h, 2, 1), "kind", "expired"),
    ],
    "no_watch_goes_on_over_a_loss": [
        lambda h: (_lose(h, 2), setattr(h.watches[1], "known_at", 1.0)),
    ],
    "losses_are_told": [
        lambda h: (_lose(h, 2), _refused(h)),
        lambda h: h.alarms.append(Alarm(at=3.0, hub="hub-1", words="older")),
    ],
    "acknowledged_is_logged": [
        lambda h: setattr(h.asks[2], "revision", 4),
        lambda h: h.asks[2].says.update(version="3"),
        lambda h: setattr(h.asks[7], "given", 3),
    ],
    "acknowledged_is_kept": [
        lambda h: [f.agents.__setitem__(0, record(A, 8, version="1", epoch=2)) for f in h.found]
    ],
    "heard_is_kept": [
        lambda h: _heard(h, load=5.0),
        lambda h: _heard(h, status="degraded"),
    ],
    "refused_never_happens": [
        lambda h: setattr(h.asks[2], "code", "unavailable"),
        lambda h: setattr(h.asks[4], "code", "unavailable"),
    ],
    "epochs_only_rise": [
        lambda h: [_change_agent(h, watch, -1, epoch=0) for watch in (1, 2)],
        lambda h: setattr(h.asks[7], "given", 1),
    ],
    "no_stale_write": [
        _old_session_writes,
        lambda h: (setattr(h.asks[2], "revision", 8), setattr(h.asks[2], "epoch", 0)),
    ],
    "fenced_in_time": [
        lambda h: (setattr(h.sessions[0], "ended", 33.0), setattr(h.sessions[0], "closed", 33.0))
    ],
    "older_process_changes_nothing": [
        lambda h: (_older(h, A), [_change_agent(h, each, -1, metadata=OLDER) for each in (1, 2)]),
        lambda h: (_older(h, B), [setattr(ask, "session", None) for ask in h.asks]),
    ],
    "takeovers_come_to_rest": [lambda h: _fight(h, 1.0), lambda h: _fight(h, 25.0)],
    "exclusive_takes_nothing": [_claimed],
    "owners_keep_their_agents": [
        lambda h: _registered_for(h, (1, 0.0, "token:a"), (3, 1.0, "token:b")),
        lambda h: _registered_for(h, (1, 0.0, "token:a"), (3, 0.0, "")),
        lambda h: _registered_for(h, (1, 0.0, "token:a"), (3, 0.0, "token:a"), said_for="token:b"),
    ],
    "nobody_unreachable_early": [
        lambda h: _judge_at(h, 19.8),
        lambda h: setattr(h.sessions[1], "ended", None),
    ],
    "judged_by_what_was_told": [_told_more_time],
    "one_event_per_silence": [_verdict_twice],
    "held_in_bounds": [_held_for_ever, _held_without_bounds],
    "replaced_are_not_held": [_held_though_replaced],
    "every_ask_ends": [
        lambda h: (setattr(h.asks[7], "answered", None), setattr(h.asks[7], "code", "")),
        lambda h: setattr(h.asks[5], "answered", 19.0),
    ],
    "queries_take_turns": [lambda h: h.held.update({"hub-1": 0.006})],
    "living_are_found": [
        lambda h: h.found[-1].agents.clear(),
        lambda h: h.found[-1].agents.__setitem__(0, record(A, 8, status="unreachable")),
        lambda h: h.found[-1].agents.__setitem__(0, record(A, 8, connection="lost")),
    ],
    "removed_is_gone": [
        lambda h: h.found[-1].agents.append(record(B, 2)),
        lambda h: h.stored.active.append(C),  # type: ignore[union-attr]
        lambda h: h.stored.records.update({C: record(C, 4)}),  # type: ignore[union-attr]
    ],
    "hubs_agree": [
        lambda h: setattr(h.found[-1], "revision", 7),
        lambda h: h.found[-1].agents.append(record("agent-d", 8)),
        lambda h: h.stored.active.clear(),  # type: ignore[union-attr]
        lambda h: h.found[-1].agents.__setitem__(0, record(A, 8, at=-9.0, version="2", epoch=2)),
    ],
    "elsewhere_counts": [
        lambda h: h.elsewhere.append(Elsewhere(agent_id="nobody", value=1, until=0.0)),
        lambda h: h.elsewhere.append(Elsewhere(agent_id=A, value=1, until=0.0)),
        lambda h: h.elsewhere.append(Elsewhere(agent_id=A, value=1, until=0.0, left=1000.0)),
    ],
    "readings_are_no_events": [lambda h: log_a_load(h)],
    "loads_are_current": [lambda h: h.asks.append(reading(3.0))],
    "newest_load_is_kept": [lambda h: h.asks.append(reading(3.0))],
    "readings_reach_watchers": [lambda h: setattr(h.watches[1], "loads", {A: 4.0})],
}


def reading(load: float) -> Ask:
    """An acknowledged heartbeat of A, of which nobody shows the load."""
    return Ask(
        said=35.0,
        op="heartbeat",
        agent_id=A,
        hub="hub-2",
        session=3,
        epoch=2,
        says={"load": load},
        answered=35.1,
        code="ok",
    )


def log_a_load(history: History) -> None:
    """Have the third change tell of nothing but a load."""
    _, first, _, third, _ = history.watches[0].seen
    assert isinstance(first, Event)
    assert isinstance(third, Event)
    third.agent = structs.replace(first.agent, revision=3, load=1.0)


def test_a_good_history_passes_every_checker() -> None:
    assert violations(good()) == []


def test_every_checker_is_tested() -> None:
    assert list(WRONG) == [checker.__name__ for checker in CHECKS]


@pytest.mark.parametrize(
    ("checker", "number"), [(name, n) for name, spoils in WRONG.items() for n in range(len(spoils))]
)
def test_a_history_that_is_wrong_in_one_point_is_caught(checker: str, number: int) -> None:
    history = good()
    WRONG[checker][number](history)
    found = violations(history)
    assert checker in {each.checker for each in found}, found
    assert all(each.words for each in found)


def test_what_the_store_lost_is_held_against_nobody() -> None:
    history = good()
    history.losses.append(Loss(at=35.0, log="L", kept=1))
    history.asks[2].says["version"] = "3"
    _change_agent(history, 2, 2, version="9")
    assert violations(history) == []


def test_what_has_an_unknown_outcome_may_have_happened_or_not() -> None:
    for number in (2, 4):
        history = good()
        ask = history.asks[number]
        ask.code, ask.unknown = "unavailable", True
        assert "refused_never_happens" not in {each.checker for each in violations(history)}


def test_twice_a_minute_is_no_fight_and_what_was_done_to_the_cluster_explains_one() -> None:
    history = good()
    _fight(history, 31.0)
    assert "takeovers_come_to_rest" not in _checkers(history)
    history = good()
    _fight(history, 1.0)
    history.faults.append(Fault(at=33.0, until=33.1, kind="kill", subject="hub-1"))
    assert "takeovers_come_to_rest" not in _checkers(history)


@pytest.mark.parametrize("ended", ["lost", "unreachable", "removed"])
def test_an_exclusive_registration_may_follow_on_one_that_lives_no_more(ended: str) -> None:
    history = good()
    _claimed(history)
    assert "exclusive_takes_nothing" in _checkers(history)
    event = _event(history, 0, 3)  # of revision 3, which the other watches have in snapshots
    connection = "lost" if ended == "lost" else "websocket"
    status = "unreachable" if ended == "unreachable" else "healthy"
    event.agent = record(A, 3, version="2", connection=connection, status=status)
    event.kind = "unregistered" if ended == "removed" else event.kind
    assert "exclusive_takes_nothing" not in _checkers(history)


def _checkers(history: History) -> set[str]:
    return {each.checker for each in violations(history)}


def test_slack_is_granted_where_clocks_differ() -> None:
    history = good()
    _judge_at(history, 19.8)
    assert violations(history, Slack(clock=0.2)) == []


def test_a_hub_that_was_away_explains_a_lost_connection() -> None:
    history = good()
    history.sessions[1].ended = None
    history.faults.append(Fault(at=7.0, until=25.0, kind="stop", subject="hub-1"))
    assert violations(history) == []


def test_a_load_that_nobody_looked_at_may_have_been_told() -> None:
    """It was said after the last look but one, and the next reading is to come after the end."""
    for said, right in ((77.5, True), (79.2, True), (76.0, False)):
        history = good()
        history.watches[1].loads = {A: 4.0}
        for at, load in ((70.0, 1.0), (said, 4.0), (said + 0.5, 6.0)):
            ask = reading(load)
            ask.said, ask.answered = at, at + 0.01
            history.asks.append(ask)
        shown = record(A, 8, version="2", epoch=2, load=6.0)
        for found in history.found[2:]:
            found.agents = [shown]
        assert history.stored is not None
        history.stored.records[A] = shown
        found_wrong = {each.checker for each in violations(history)}
        assert ("readings_reach_watchers" not in found_wrong) is right, said


def test_what_is_held_within_its_bounds_is_no_violation() -> None:
    history = good()
    gone = [record(f"gone-{n}", 6, at=48.0, status="unreachable") for n in range(10)]
    _show(history, 48.0 + 8.0 + 1.0 + 6.0, *gone)
    assert not [each for each in violations(history) if each.checker == "held_in_bounds"]


def test_one_that_was_told_less_time_may_be_judged_sooner_than_others() -> None:
    history = good()
    _told_more_time(history)
    history.asks[3].told = 5.0
    assert violations(history) == []


def test_how_long_it_took_until_all_were_found() -> None:
    history = good()
    assert longest_until_found(history) == 10.0
    history.found[0].agents = []
    assert longest_until_found(history) == 49.0
    history.found[-1].agents = []
    assert longest_until_found(history) is None
