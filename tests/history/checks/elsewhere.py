"""What a legacy service is told that writes to the same store counts at every hub."""

from __future__ import annotations

from homeport_protocol.record import AgentRecord
from tests.history.checks.presence import last_found
from tests.history.recorded import Elsewhere, History, Slack

NOTICED = 15.0
"""Seconds within which hubs notice that an agent has unregistered there."""


def elsewhere_counts(history: History, slack: Slack) -> list[str]:
    """In the end every hub has the agents that live there, with what they said, and no others."""
    wrong = []
    for agent in history.elsewhere:
        for hub, found in last_found(history).items():
            record = next((each for each in found.agents if each.id == agent.agent_id), None)
            if agent.left is None:
                state = _state(record, agent)
            elif record is None or _excused(history, agent.left):
                state = ""
            else:
                state = "is shown, and has unregistered there"
            if state:
                wrong.append(f"{agent.agent_id} of elsewhere {state} (at {hub})")
    wrong += _unreachable(history)
    return wrong


def _excused(history: History, left: float) -> bool:
    """Whether a hub may have put the agent back: the store lost its end, or came back just then."""
    return any(loss.at >= left - NOTICED for loss in history.losses) or any(
        fault.at <= left + NOTICED and left - NOTICED <= fault.until for fault in history.faults
    )


def _state(record: AgentRecord | None, agent: Elsewhere) -> str:
    if record is None:
        return "is not found"
    value = record.metadata["value"] if isinstance(record.metadata, dict) else -1
    return "" if value >= agent.value else f"said {agent.value}, and {value} is shown"


def _unreachable(history: History) -> list[str]:
    """Those that are said to be unreachable just before they said something for the last time."""
    wrong = []
    living = {each.agent_id: each.until for each in history.elsewhere if each.left is None}
    for found in history.found:
        for record in found.agents:
            until = living.get(record.id, 0.0)
            if until - 2.0 < found.at <= until and record.status == "unreachable":
                wrong.append(f"{record.id} of elsewhere is unreachable (at {found.hub})")
    return wrong
