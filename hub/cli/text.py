"""Small pieces of text: cells, ages, addresses."""

from __future__ import annotations

from agent_client import AgentRecord
from homeport_protocol.timestamps import parse_timestamp

SHORT_ID = 8
"""Characters of an id that a narrow table shows; `homeport agent` finds an agent by them."""


def printable(text: str) -> str:
    """`text` with all characters escaped that could control a terminal.

    Names and other text of agents are shown, so an escape sequence in them must not take effect.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii")
        for c in text
    )


def ago(timestamp: str, now: float) -> str:
    """How long before `now` (Unix seconds) an RFC 3339 `timestamp` was, such as `3s ago`."""
    try:
        seconds = int(now - parse_timestamp(timestamp))
    except ValueError:
        return printable(timestamp)
    if seconds < 1:
        return "now"  # also for a hub whose clock is slightly ahead
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def address(record: AgentRecord) -> str:
    """How the agent is reached: at its `host:port`, or through the hub by `websocket`."""
    if not record.host or not record.port:
        return "websocket" if record.health.connection != "http" else printable(record.host)
    host = f"[{record.host}]" if ":" in record.host else record.host
    return printable(f"{host}:{record.port}")


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


def one_line(text: str) -> str:
    """`text` as one line, without a full stop at its end, and escaped for a terminal."""
    return printable(" ".join(text.split())).rstrip(".")
