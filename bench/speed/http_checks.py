"""Whether the hub's answers were right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bench.load.http import Seen
from bench.speed.http_fleet import Fleet


async def faults(name: str, fleet: Fleet, seen: Seen) -> list[str]:
    """What was wrong with the last answers of a call's connections, or is wrong after it."""
    bodies = [msgspec.json.decode(body) for body in seen.bodies]
    found = [f"{name}: {body}"[:200] for body in bodies if not _CHECKS[name](fleet, body)]
    listed = (await fleet.ask("GET", "/agents")).json()
    if not _is_whole(fleet, listed):
        found.append(f"{name}: {listed['count']} agents are listed after it")
    changes = {agent["id"]: agent["metadata"].get("change", 0) for agent in listed["agents"]}
    late = [each for each, number in fleet.changed.items() if changes.get(each, 0) < number]
    return found + [f"{name}: the list is older than the change of {each}" for each in late]


def _is_whole(fleet: Fleet, body: Any) -> bool:
    ids = [agent["id"] for agent in body["agents"]]
    return ids == fleet.ids and body["count"] == len(ids)


_CHECKS: dict[str, Callable[[Fleet, Any], bool]] = {
    "heartbeat": lambda _, body: body["received"] is True,
    "register": lambda fleet, body: body["agent_id"] not in fleet.ids,
    "get": lambda fleet, body: body["id"] in fleet.ids and body["status"] == "healthy",
    "list": _is_whole,
    "changing": _is_whole,
    "type": lambda _, body: body == {"agents": [], "count": 0},
}
