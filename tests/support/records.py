"""Records for tests that need no world."""

from __future__ import annotations

from typing import Any

import msgspec

from homeport_protocol.record import AgentRecord, Health

NOW = "2026-01-01T00:00:00.000000Z"
SPEC = {"name": "a1", "type": "cost"}
"""A registration, for tests to which its values do not matter."""


def agent_id(number: int) -> str:
    """The UUID of that number; ids sort as their numbers do."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def record(number: int = 1, *, connection: Any = "websocket", **fields: Any) -> AgentRecord:
    """A record with defaults for whatever a test does not care about."""
    status = fields.get("status", "healthy")
    defaults: dict[str, Any] = {
        "id": agent_id(number),
        "name": f"a{number}",
        "type": "cost",
        "registered_at": NOW,
        "last_seen": NOW,
        "health": Health(connection, status, "ok", NOW),
    }
    return AgentRecord(**(defaults | fields))


def wire_record(number: int = 1, **fields: Any) -> dict[str, Any]:
    """The same as a hub sends it, decoded from JSON."""
    built: dict[str, Any] = msgspec.to_builtins(record(number, **fields))
    return built
