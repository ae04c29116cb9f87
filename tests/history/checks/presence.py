"""After the faults all hubs list the same: every living agent, and none that was removed."""

from __future__ import annotations

from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp
from tests.history.logs import without_readings
from tests.history.recorded import Ask, Found, History, Living, Slack


def every_ask_ends(history: History, slack: Slack) -> list[str]:
    """An ask on a connection that lives is answered; one over HTTP at a hub that lives, too."""
    ended = {session.number: session.ended for session in history.sessions}
    wrong = []
    for ask in history.asks:
        over = ended.get(ask.session) if ask.session is not None else None
        if over is None:
            over = history.dead.get(ask.agent_id)  # nobody is there to hear the answer
        by = (ask.answered if ask.answered is not None else history.end) - slack.clock
        if over is not None and over < by:
            by = over
        waited = by - ask.said
        if waited > slack.answered_within and not _hindered(history, ask, by):
            state = "was not answered" if ask.answered is None else "was answered late"
            wrong.append(f"{ask.op} of {ask.agent_id} at {ask.hub}, {ask.said:.3f}: {state}")
    return wrong


def _hindered(history: History, ask: Ask, by: float) -> bool:
    return any(
        fault.at <= by and ask.said <= fault.until
        for fault in history.faults
        if fault.subject in (ask.hub, ask.agent_id, "store", "network")
    )


def living_are_found(history: History, slack: Slack) -> list[str]:
    """Some time after faults ended, every living agent is found at every hub, and reachable."""
    wrong: dict[tuple[str, str], str] = {}  # the first time, of each agent at each hub
    since = history.calm_from + slack.found_within
    for found in history.found:
        if found.at < since:
            continue
        shown = {each.id: each for each in found.agents}
        for living in history.living:
            state = _state(shown.get(living.agent_id), living)
            if living.since <= found.at - slack.found_within and state:
                words = f"{living.agent_id} at {found.hub}, {found.at:.3f}: {state}"
                wrong.setdefault((living.agent_id, found.hub), words)
    return list(wrong.values())


def _state(record: AgentRecord | None, living: Living) -> str:
    if record is None:
        return "not found"
    if record.status == "unreachable":
        return f"unreachable ({record.health.reason})"
    if record.health.connection == "lost":
        return "its connection is said to be lost"
    if living.way == "http" and record.health.connection == "websocket":
        return "said to hold a websocket"
    return ""


def longest_until_found(history: History) -> float | None:
    """From the end of faults until every living agent was found at every hub, for good.

    As exact as the readings in `found` are close; None when it never was so.
    """
    good_from: dict[str, float | None] = {}
    for found in sorted(history.found, key=lambda each: each.at):
        if found.at < history.calm_from:
            continue
        shown = {each.id: each for each in found.agents}
        if any(_state(shown.get(living.agent_id), living) for living in history.living):
            good_from[found.hub] = None
        elif good_from.get(found.hub) is None:
            good_from[found.hub] = found.at
    times = [at for at in good_from.values() if at is not None]
    if not times or len(times) < len(good_from):
        return None
    return max(times) - history.calm_from


def removed_is_gone(history: History, slack: Slack) -> list[str]:
    """Who unregistered, or died long enough ago, is at no hub and not in the store."""
    living = {each.agent_id for each in history.living}
    gone = {each for each in _unregistered(history) if each not in living}
    since = history.end - history.terms.longest_life - slack.found_within
    quiet = history.calm_from <= since
    gone |= {each for each, at in history.dead.items() if quiet and at <= since}
    wrong = []
    for found in last_found(history).values():
        wrong += [
            f"{each.id} is still shown at {found.hub} ({each.status})"
            for each in found.agents
            if each.id in gone
        ]
    if history.stored is not None:
        stored = history.stored
        wrong += [f"{each} is still stored" for each in stored.records if each in gone]
        wrong += [f"{each} is still active" for each in stored.active if each in gone]
    return wrong


def _unregistered(history: History) -> list[str]:
    """Ids whose last request was an acknowledged `unregister`."""
    last: dict[str, Ask] = {}
    unsure: set[str] = set()
    for ask in history.asks:
        if ask.op == "unregister" and ask.acknowledged:
            last[ask.agent_id] = ask
    for ask in history.asks:
        goodbye = last.get(ask.agent_id)
        if goodbye is None or ask is goodbye or ask.op == "unregister":
            continue
        # A registration that was under way then, or said later, may have begun it anew.
        if ask.op in ("register", "resume") and (ask.answered or history.end) >= goodbye.said:
            unsure.add(ask.agent_id)
    # When the store lost the removal, the agent runs out like one that died.
    for agent_id, goodbye in last.items():
        if any(loss.at >= goodbye.said for loss in history.losses):
            unsure.add(agent_id)
    return [each for each in last if each not in unsure]


def last_found(history: History) -> dict[str, Found]:
    """The last reading of each hub."""
    return {found.hub: found for found in sorted(history.found, key=lambda each: each.at)}


def hubs_agree(history: History, slack: Slack) -> list[str]:
    """At the end all hubs show the same directory, and it is what the store holds."""
    wrong = []
    finds = last_found(history)
    stored = history.stored
    first: Found | None = None
    for found in finds.values():
        if stored is not None:
            if (found.log, found.revision) != (stored.log, stored.revision):
                wrong.append(
                    f"{found.hub} stands at {found.revision} of {found.log}, the store at "
                    f"{stored.revision} of {stored.log}"
                )
            wrong += _unlike(history, found, "the store", stored.records, slack)
            active = {*stored.active}
            wrong += [
                f"{each} is stored, and not active" for each in stored.records if each not in active
            ]
            wrong += [f"{each} is active, and not stored" for each in active - {*stored.records}]
        if first is None:
            first = found
        else:
            wrong += _unlike(
                history, found, first.hub, {each.id: each for each in first.agents}, slack
            )
    return wrong


def _unlike(
    history: History, found: Found, other: str, records: dict[str, AgentRecord], slack: Slack
) -> list[str]:
    shown = {each.id: each for each in found.agents}
    wrong = [f"{each} is at {found.hub}, not at {other}" for each in shown if each not in records]
    for agent_id, record in records.items():
        mine = shown.get(agent_id)
        if mine is None:
            wrong.append(f"{agent_id} is at {other}, not at {found.hub}")
        elif without_readings(mine) != without_readings(record):
            wrong.append(f"{agent_id} at {found.hub} is not as at {other}")
        else:
            seen = parse_timestamp(record.last_seen)
            since = found.at - seen + history.wall_offset
            if parse_timestamp(mine.last_seen) < seen and since > slack.last_seen_lag + slack.clock:
                wrong.append(f"{agent_id} was seen {since:.3f} s ago: {found.hub} does not say so")
    return wrong
