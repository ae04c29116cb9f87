"""What was acknowledged is kept, beyond what the store itself lost."""

from __future__ import annotations

from tests.history.logs import logs_of, lost_between, was_lost
from tests.history.recorded import Ask, History, Slack

_LOGGED = {"register": ("registered",), "resume": ("resumed", "registered")}


def acknowledged_is_logged(history: History, slack: Slack) -> list[str]:
    """The revision that an answer named is in the log, of that agent and with what it said."""
    logs = logs_of(history)
    wrong = []
    for ask in history.asks:
        if not ask.acknowledged or not ask.log or ask.op == "heartbeat":
            continue
        entries = logs.get(ask.log, {})
        entry = entries.get(ask.revision)
        words = f"{ask.op} of {ask.agent_id}, acknowledged as {ask.revision} of {ask.log}"
        if was_lost(history, ask.log, ask.revision):
            continue
        if entry is None:
            # Nobody watched then, or the log had been trimmed; or else it is gone.
            if entries and min(entries) <= ask.revision <= max(entries):
                wrong.append(f"{words}: not in the log")
        elif entry.agent.id != ask.agent_id:
            wrong.append(f"{words}: the log tells of {entry.agent.id}")
        elif ask.op in _LOGGED and entry.kind not in _LOGGED[ask.op]:
            wrong.append(f"{words}: the log says {entry.kind}")
        elif ask.given and entry.agent.epoch != ask.given:
            wrong.append(f"{words} with epoch {ask.given}: the log says {entry.agent.epoch}")
        elif ask.op == "update" and ask.says.get("version", entry.agent.version) != (
            entry.agent.version
        ):
            wrong.append(f"{words}, version {ask.says['version']}: {entry.agent.version}")
    return wrong


def acknowledged_is_kept(history: History, slack: Slack) -> list[str]:
    """At the end a living agent's record says what it said last, and had acknowledged."""
    shown = {each.id: each for found in history.found[-1:] for each in found.agents}
    asks: dict[str, list[Ask]] = {}
    for ask in history.asks:
        if "version" in ask.says:
            asks.setdefault(ask.agent_id, []).append(ask)
    wrong = []
    for living in history.living:
        record = shown.get(living.agent_id)
        if record is None:
            continue  # `living_are_found` tells
        allowed = _versions(history, asks.get(living.agent_id, []))
        if allowed is not None and record.version not in allowed:
            few = ", ".join(sorted(allowed))
            wrong.append(f"{living.agent_id} has version {record.version}, not {few}")
    return wrong


def _versions(history: History, asks: list[Ask]) -> set[str] | None:
    """What the version may be; None when nothing was acknowledged that must be kept."""
    acknowledged = [ask for ask in asks if ask.acknowledged]
    if not acknowledged:
        return None
    last = max(acknowledged, key=lambda ask: ask.answered or 0.0)
    assert last.answered is not None
    if lost_between(history, last.said, history.end, last.agent_id):
        return None
    # One that was not answered may take effect late, and so may one said while `last` was.
    return {last.says["version"]} | {
        ask.says["version"]
        for ask in asks
        if (ask.answered or history.end) > last.said and ask is not last
    }
