"""Records as a hub sends them, with a value in every field that a person may read."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.records import wire_record


def agent(name: str, **changes: Any) -> dict[str, Any]:
    """The record of the agent of that name, with `changes` applied."""
    defaults = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "name": name,
        "host": "10.0.0.7",
        "port": 9000,
        "capabilities": ["sql", "csv"],
        "version": "1.2.0",
        "metadata": {"region": "eu"},
        "hub": "hub-1",
        "revision": 1,
    }
    return wire_record(**(defaults | changes))
