"""The agent that a person means: by its id, the beginning of that, or its name."""

from __future__ import annotations

import re

import click

from agent_client import AgentRecord, HubClient
from homeport_protocol.bounds import UUID
from hub.cli.text import printable
from hub.errors import HubError

SHORTEST = 4
"""Characters of the beginning of an id that are asked for; fewer are a name only."""

_PART_OF_ID = re.compile(rf"[0-9a-fA-F-]{{{SHORTEST},36}}")
_TOO_SHORT = re.compile(rf"[0-9a-fA-F-]{{1,{SHORTEST - 1}}}")
_SHOWN = 5


def is_id(text: str) -> bool:
    """Whether `text` is a whole id."""
    return re.fullmatch(UUID, text) is not None


def check_named(text: str) -> None:
    """Raise click.BadParameter for a text that can mean no agent."""
    if not text.strip():
        raise click.BadParameter("give an id or a name, not an empty text", param_hint="AGENT")


async def find_agent(hub: HubClient, text: str) -> AgentRecord:
    """The one agent whose id is or begins with `text`, or whose name it is; else HubError."""
    if is_id(text):
        return await hub.get(text)
    found = {one.id: one for one in await hub.find(name=text)}
    if _PART_OF_ID.fullmatch(text):
        every = await hub.find()
        found |= {one.id: one for one in every if one.id.lower().startswith(text.lower())}
    if not found:
        short = _TOO_SHORT.fullmatch(text) is not None
        hint = f"; of an id, give the first {SHORTEST} characters or more" if short else ""
        raise HubError(f"no agent has {_meant(text)}{hint}")
    if len(found) > 1:
        few = ", ".join(sorted(found)[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise HubError(
            f"{len(found)} agents have {_meant(text)}: give the whole id of the one that you mean "
            f"({few})"
        )
    return next(iter(found.values()))


def _meant(text: str) -> str:
    """What `text` may be of an agent."""
    name = f"the name {printable(text)}"
    return f"{name} or an id that begins with it" if _PART_OF_ID.fullmatch(text) else name
