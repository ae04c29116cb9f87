"""An agent becomes unreachable never too early, and with one event."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from homeport_protocol.timestamps import parse_timestamp
from tests.history.logs import by_agent, logs_of, lost_between, was_lost
from tests.history.recorded import Ask, Entry, History, Session, Slack


def nobody_unreachable_early(history: History, slack: Slack) -> list[str]:
    """`heartbeat_timeout` after the last sign of life, `resume_window` after a lost connection.

    Signs of life are what hubs acknowledged: said at s, they arrived no earlier. An answer that
    was not `durable` binds only the hub that gave it. A connection is lost when it ended, or when
    its hub was away for longer than its lease.
    """
    asks = _signs_of_life(history)
    sessions: dict[str, list[Session]] = {}
    for session in history.sessions:
        if session.joined is not None:
            sessions.setdefault(session.agent_id, []).append(session)
    timeout = history.terms.heartbeat_timeout
    wrong = []
    for agent_id, entry, at in _verdicts(history):
        if entry.agent.health.reason == "connection_lost":
            why = _connected(history, slack, sessions.get(agent_id, []), entry, at)
        else:
            why = _heard(history, slack, asks.get(agent_id, []), entry, at, timeout)
        if why:
            wrong.append(f"{_words(agent_id, entry, at)}, {why}")
    return wrong


def judged_by_what_was_told(history: History, slack: Slack) -> list[str]:
    """For silence not before the `heartbeat_timeout` that the agent's present session was told.

    Whichever hub judges it, and whatever its own times are.
    """
    asks = _signs_of_life(history)
    wrong = []
    for agent_id, entry, at in _verdicts(history):
        if entry.agent.health.reason != "heartbeat_timeout":
            continue
        known = asks.get(agent_id, [])
        told = [ask.told for ask in known if ask.told and ask.given == entry.agent.epoch]
        if not told:
            continue  # the agent never got the answer
        why = _heard(history, slack, known, entry, at, min(told))
        if why:
            wrong.append(f"{_words(agent_id, entry, at)}, told {min(told):.3f} s, {why}")
    return wrong


def _signs_of_life(history: History) -> dict[str, list[Ask]]:
    asks: dict[str, list[Ask]] = {}
    for ask in history.asks:
        if ask.acknowledged and ask.op != "unregister":
            asks.setdefault(ask.agent_id, []).append(ask)
    return asks


def _verdicts(history: History) -> Iterator[tuple[str, Entry, float]]:
    for entries in logs_of(history).values():
        for agent_id, each in by_agent(entries).items():
            for entry in each:
                if _is_verdict(entry):
                    since = parse_timestamp(entry.agent.health.since)
                    yield agent_id, entry, since - history.wall_offset


def _words(agent_id: str, entry: Entry, at: float) -> str:
    return f"{agent_id} unreachable at {at:.3f} ({entry.revision} of {entry.log})"


def _is_verdict(entry: Entry) -> bool:
    reasons = ("connection_lost", "heartbeat_timeout")
    return (
        entry.kind == "status_changed"
        and entry.agent.status == "unreachable"
        and entry.agent.health.reason in reasons
    )


def _heard(  # noqa: PLR0917 - all that it depends on
    history: History, slack: Slack, asks: list[Ask], entry: Entry, at: float, timeout: float
) -> str:
    for ask in asks:
        assert ask.answered is not None
        if ask.answered > at - slack.clock or at >= ask.said + timeout - slack.clock:
            continue  # acknowledged later, or long ago
        if ask.log == entry.log and ask.revision > entry.revision:
            continue
        if lost_between(history, ask.said, at):
            continue
        if not ask.durable and _troubled(history, ask, at):
            continue
        return f"although {ask.op} was said at {ask.said:.3f}"
    return ""


def _troubled(history: History, ask: Ask, at: float) -> bool:
    """Whether what a hub only heard may have been lost with it, or not have reached the others."""
    return any(
        fault.at <= at and ask.said <= fault.until + history.terms.hub_lease
        for fault in history.faults
        if fault.subject in (ask.hub, "store", "network")
    )


def _connected(
    history: History, slack: Slack, sessions: list[Session], entry: Entry, at: float
) -> str:
    window, lease = history.terms.resume_window, history.terms.hub_lease
    for session in sessions:
        assert session.joined is not None
        if session.joined > at - slack.clock or session.epoch > entry.agent.epoch:
            continue  # (an entry of an older epoch behind a newer one: `epochs_only_rise` tells)
        if session.epoch < entry.agent.epoch:
            continue
        if session.ended is not None and at >= session.ended + window - slack.clock:
            continue
        away = [
            fault.at
            for fault in history.faults
            if fault.subject in (session.hub, "store", "network")
            and fault.at >= session.opened - lease
        ]
        earliest = min(away, default=float("inf")) + lease - slack.lease_renewal + window
        if at >= earliest - slack.clock:
            continue
        return f"although its session at {session.hub} ended at {session.ended}"
    return ""


def one_event_per_silence(history: History, slack: Slack) -> list[str]:
    """Between two `unreachable` of an agent lies an event that made it reachable, or removed it."""
    wrong = []
    for log, entries in logs_of(history).items():
        for agent_id, each in by_agent(entries).items():
            for older, newer in pairwise(each):
                if (
                    older.agent.status == newer.agent.status == "unreachable"
                    and newer.kind == "status_changed"
                    and older.kind != "expired"
                    and not was_lost(history, log, older.revision)
                ):
                    wrong.append(
                        f"{agent_id}: unreachable at {older.revision} of {log}, and again at "
                        f"{newer.revision}"
                    )
    return wrong
