"""The agent that a person means: by its id, the beginning of that, or its name."""

from __future__ import annotations

import re

from agent_client import AgentRecord, HubClient
from homeport_protocol.bounds import UUID
from hub.errors import HubError

_PART_OF_ID = re.compile(r"[0-9a-fA-F-]{4,36}")
_SHOWN = 5


def is_id(text: str) -> bool:
    """Whether `text` is a whole id."""
    return re.fullmatch(UUID, text) is not None


async def find_agent(hub: HubClient, text: str) -> AgentRecord:
    """The one agent whose id is or begins with `text`, or whose name it is; else HubError."""
    if is_id(text):
        return await hub.get(text)
    found = {one.id: one for one in await hub.find(name=text)}
    if _PART_OF_ID.fullmatch(text):
        every = await hub.find()
        found |= {one.id: one for one in every if one.id.lower().startswith(text.lower())}
    if not found:
        raise HubError(f"no agent is called {text}, and no id begins so")
    if len(found) > 1:
        few = ", ".join(sorted(found)[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise HubError(
            f"{len(found)} agents are called {text} or have an id that begins so: give the id of "
            f"one ({few})"
        )
    return next(iter(found.values()))
