"""Small pieces of text: cells, ages, addresses."""

from __future__ import annotations

from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp

SHORT_ID = 8
"""Characters of an id that a narrow table shows; `homeport agent` finds an agent by them."""


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal written as an escape.

    What agents say of themselves reaches this terminal; an escape sequence among it must not.
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
        return "now"  # a hub whose clock is a little ahead of ours is no news either
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def address(record: AgentRecord) -> str:
    """Where the agent is reached: its own `host:port`, or `websocket` through its hub."""
    if not record.host or not record.port:
        return "websocket" if record.health.connection != "http" else printable(record.host)
    host = f"[{record.host}]" if ":" in record.host else record.host
    return printable(f"{host}:{record.port}")


def reason(record: AgentRecord) -> str:
    """Why the agent is not simply well: a machine word, or nothing when all is `ok`."""
    if record.health.reason != "ok":
        return record.health.reason
    # The resume window runs: the status stands, but the agent cannot be reached just now.
    return "connection_lost" if record.health.connection == "lost" else ""


def condition(record: AgentRecord) -> str:
    """Status and reason in one piece, such as `unreachable (heartbeat_timeout)`."""
    why = reason(record)
    return f"{record.status} ({why})" if why else record.status


def one_line(text: str) -> str:
    """`text` as one line that ends without a full stop and cannot steer a terminal."""
    return printable(" ".join(text.split())).rstrip(".")
