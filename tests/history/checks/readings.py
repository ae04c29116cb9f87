"""Loads are readings: no events, known everywhere soon, and the newest one is not lost."""

from __future__ import annotations

from msgspec import UNSET, structs

from homeport_protocol.record import AgentRecord
from tests.history.logs import logs_of, lost_between, was_lost
from tests.history.recorded import Ask, History, Slack

SAME_CLOCK = 0.1
"""Seconds by which clocks may differ that count as the same."""

READINGS_EVERY = 1.0
"""Seconds between two readings that a watch is sent."""


def readings_are_no_events(history: History, slack: Slack) -> list[str]:
    """No entry of a log says no more than that a load has moved."""
    wrong = []
    for log, entries in logs_of(history).items():
        known: dict[str, AgentRecord] = {}
        for revision, entry in entries.items():
            agent = entry.agent
            before = known.get(agent.id)
            known[agent.id] = agent
            if before is None or entry.kind != "updated" or was_lost(history, log, revision):
                continue
            read = structs.replace(
                before, load=agent.load, last_seen=agent.last_seen, revision=revision
            )
            if read == agent:
                words = "nothing" if before.load == agent.load else "a load"
                wrong.append(f"revision {revision} of {log}, of {agent.id}, tells of {words}")
    return wrong


def loads_are_current(history: History, slack: Slack) -> list[str]:
    """In calm every hub shows the newest acknowledged load soon.

    Hubs order renewals by their clocks. Where these differ, one of an earlier session may be taken
    for newer at hubs that do not hold the agent: that is not judged.
    """
    if slack.clock > SAME_CLOCK:
        return []
    asks = _of_agents(history)
    living = {each.agent_id for each in history.living}
    wrong: dict[tuple[str, str], str] = {}
    for found in history.found:
        if found.at < history.calm_from + slack.found_within:
            continue
        for agent in found.agents:
            if agent.id not in living:
                continue
            since = found.at - slack.load_lag - slack.clock
            allowed = _allowed(history, asks.get(agent.id, []), since, found.at, agent.id)
            if allowed is not None and _load(agent) not in allowed:
                words = f"{agent.id} at {found.hub}, {found.at:.3f}: load {_load(agent)}"
                wrong.setdefault((found.hub, agent.id), f"{words}, not {allowed}")
    return list(wrong.values())


def newest_load_is_kept(history: History, slack: Slack) -> list[str]:
    """At the end the store has the newest load of a living agent that was acknowledged."""
    stored = history.stored
    if stored is None:
        return []
    asks = _of_agents(history)
    wrong = []
    for living in history.living:
        record = stored.records.get(living.agent_id)
        if record is None:
            continue  # `hubs_agree` and `living_are_found` tell
        own = asks.get(living.agent_id, [])
        allowed = _allowed(history, own, stored.at, stored.at, living.agent_id)
        if allowed is not None and _load(record) not in allowed:
            wrong.append(f"{record.id} is stored with load {_load(record)}, not {allowed}")
    return wrong


def _load(record: AgentRecord) -> float | None:
    return None if record.load is UNSET else record.load


def _of_agents(history: History) -> dict[str, list[Ask]]:
    """Every ask that sets a load; a registration without one takes it away."""
    asks: dict[str, list[Ask]] = {}
    for ask in history.asks:
        if "load" in ask.says or ask.op == "register":
            asks.setdefault(ask.agent_id, []).append(ask)
    return asks


def _allowed(
    history: History, asks: list[Ask], since: float, until: float, agent_id: str
) -> set[float | None] | None:
    """What the load may be that was acknowledged by `since`; None when it may be any."""
    sure = [
        ask
        for ask in asks
        if ask.acknowledged and ask.durable and ask.answered is not None and ask.answered <= since
    ]
    if not sure:
        return None
    last = max(sure, key=lambda ask: ask.said)
    if lost_between(history, last.said, until, agent_id):
        return None
    # What overlaps with it may have come before it or after it, and what was not acknowledged as
    # durable may take effect late.
    return {last.says.get("load")} | {
        ask.says.get("load")
        for ask in asks
        if not (ask.acknowledged and ask.durable) or (ask.answered or until) > last.said
    }


def readings_reach_watchers(history: History, slack: Slack) -> list[str]:
    """A watcher that asked for readings believes at the end what its hub shows, or just showed.

    A hub is looked at only now and then, so what the agent said lately may have been shown as well.
    """
    asks = _of_agents(history)
    shown = {found.hub: found for found in history.found}  # the last one of each hub
    wrong = []
    for watch in history.watches:
        last = shown.get(watch.hub)
        if not watch.open or watch.loads is None or last is None:
            continue
        since = last.at - slack.load_lag - READINGS_EVERY - slack.clock
        lately: dict[str, set[float | None]] = {}
        for found in history.found:
            if found.hub == watch.hub and found.at >= since:
                for agent in found.agents:
                    lately.setdefault(agent.id, set()).add(_load(agent))
        for agent in last.agents:
            told = watch.loads.get(agent.id)
            said = _allowed(history, asks.get(agent.id, []), since, last.at, agent.id) or set()
            if told not in lately[agent.id] | said:
                words = f"{watch.watcher} at {watch.hub}: it believes {agent.id} has load {told}"
                wrong.append(f"{words}, and {_load(agent)} is shown")
    return wrong
