"""What was refused does not happen, and what was acknowledged outlives what others are told."""

from __future__ import annotations

from collections import defaultdict

from homeport_protocol.errors import ERROR_CODES
from tests.history.logs import logs_of, lost_between
from tests.history.recorded import Ask, Entry, History, Slack

JOINING = ("register", "resume")


def refused_never_happens(history: History, slack: Slack) -> list[str]:
    """No log has what was only asked for by requests that were refused without an `outcome`."""
    asks: dict[str, list[Ask]] = defaultdict(list)
    for ask in history.asks:
        asks[ask.agent_id].append(ask)
    entries: dict[str, list[Entry]] = defaultdict(list)
    for log in logs_of(history).values():
        for entry in log.values():
            entries[entry.agent.id].append(entry)
    wrong = []
    for agent_id, of_agent in entries.items():
        wrong += _versions(agent_id, of_agent, asks[agent_id])
        if not history.losses:  # else a change may stand in two logs
            wrong += _ends(agent_id, of_agent, asks[agent_id])
    return wrong


def _refused(ask: Ask) -> bool:
    """Whether it was promised that what was asked for does not happen."""
    return not ask.unknown and (ask.code in ERROR_CODES or ask.code.isdigit())


def _versions(agent_id: str, entries: list[Entry], asks: list[Ask]) -> list[str]:
    said: dict[str, list[Ask]] = defaultdict(list)
    for ask in asks:
        if "version" in ask.says:
            said[ask.says["version"]].append(ask)
    logged = {entry.agent.version for entry in entries}
    return [
        f"{agent_id} has had version {version}, which was refused at {by[0].said:.3f}"
        for version, by in said.items()
        if version in logged and all(_refused(ask) for ask in by)
    ]


def _ends(agent_id: str, entries: list[Entry], asks: list[Ask]) -> list[str]:
    ended = sum(entry.kind == "unregistered" for entry in entries)
    ends = [ask for ask in asks if ask.op == "unregister"]
    # A registration with an unknown outcome is removed again when it happened.
    allowed = sum(not _refused(ask) for ask in ends)
    allowed += sum(ask.op == "register" and not ask.given and not _refused(ask) for ask in asks)
    if ended <= allowed or not any(_refused(ask) for ask in ends):
        return []
    return [f"{agent_id} was unregistered {ended} times, and asked for it {allowed} times"]


def heard_is_kept(history: History, slack: Slack) -> list[str]:
    """At the end an agent's stored record has what its session said last and had acknowledged.

    That an acknowledgement said `durable: false` makes no difference: its hub lives.
    """
    stored = history.stored
    if stored is None:
        return []
    asks: dict[str, list[Ask]] = defaultdict(list)
    for ask in history.asks:
        asks[ask.agent_id].append(ask)
    ended = {session.number: session.ended for session in history.sessions}
    wrong = []
    for living in history.living:
        record = stored.records.get(living.agent_id)
        of_agent = asks[living.agent_id]
        joined = [ask for ask in of_agent if ask.op in JOINING]
        if record is None or not joined or not joined[-1].acknowledged:
            continue  # `living_are_found` tells, or it is not known what holds
        session = joined[-1].session
        if session is None or ended.get(session) is not None:
            continue
        for field, value in (("load", record.load), ("status", record.health.reported)):
            saying = [ask for ask in of_agent if field in ask.says and ask.op == "heartbeat"]
            heard = [ask for ask in saying if ask.acknowledged and ask.session == session]
            if not heard or lost_between(history, heard[-1].said, history.end, living.agent_id):
                continue
            last = heard[-1]
            if any(ask.said > last.said for ask in saying):
                continue  # nobody knows what became of it
            if value != last.says[field]:
                durable = "" if last.durable else " (not durable)"
                wrong.append(
                    f"{living.agent_id} said {field} {last.says[field]} at {last.said:.3f}, "
                    f"acknowledged{durable}, and has {value}"
                )
    return wrong
