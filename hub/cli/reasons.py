"""Why an agent is not simply healthy: one word and one sentence for each reason, everywhere."""

from __future__ import annotations

from agent_client import AgentRecord
from homeport_protocol.bounds import Reason

REASONS: dict[Reason, str] = {
    "ok": "the agent reports `healthy`",
    "self_reported": "the agent itself reports this status",
    "connection_lost": "its websocket broke, and it has not resumed",
    "heartbeat_timeout": "nothing was heard from it for `heartbeat_timeout`",
    "heartbeat_overdue": "its connection answers pings, but its program sends no heartbeat",
    "draining": "its hub stopped, and it has not resumed at another yet",
}
"""Every `health.reason` of the contract, and what it says of the agent's status."""


def reason(record: AgentRecord) -> str:
    """Why the agent is not fully healthy, as the contract's word; "" for `ok`."""
    if record.health.reason != "ok":
        return record.health.reason
    # In the resume window the status is unchanged, but the agent cannot be reached.
    return "connection_lost" if record.health.connection == "lost" else ""


def condition(record: AgentRecord) -> str:
    """Status and reason together, such as `unreachable (heartbeat_timeout)`."""
    why = reason(record)
    return f"{record.status} ({why})" if why else record.status


def explained(record: AgentRecord) -> str:
    """The reason and its sentence."""
    word = reason(record) or record.health.reason
    sentence = next((text for known, text in REASONS.items() if known == word), "")
    return f"{word}: {sentence.replace('`', '')}" if sentence else word
