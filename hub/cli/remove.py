"""`homeport remove`: an operator takes an agent out of the directory."""

from __future__ import annotations

import asyncio
import re

import click

from agent_client import AgentRecord, HubClient
from homeport_protocol.bounds import UUID
from hub.cli.client import connected
from hub.cli.options import Target, examples, hub_options
from hub.cli.output import show
from hub.cli.text import printable
from hub.errors import HubError

_PART_OF_ID = re.compile(r"[0-9a-fA-F-]{4,36}")
_SHOWN = 5


@click.command(
    short_help="Remove an agent, whoever registered it.",
    epilog=examples(
        "homeport remove 3f2a91bc-8f0e-4c57-9d39-0f1c2d7f5a11",
        "homeport remove 3f2a91bc",
        "homeport remove cost-agent-1 --namespace team-a",
    ),
)
@click.argument("agent", metavar="AGENT")
@hub_options
def remove(target: Target, agent: str) -> None:
    """Remove an agent from the directory at once, whoever registered it.

    AGENT is the agent's id, the beginning of it (four characters or more), or its name; it must
    mean one agent. The session of an agent on a websocket is closed, and it stays out until its
    program is started again. An agent over HTTP is told that it is not known, and may register
    again: stop its program first.
    """
    removed = asyncio.run(_remove(target, agent))
    show(f"Removed {printable(removed)}.")


async def _remove(target: Target, text: str) -> str:
    async with connected(target) as hub:
        if re.fullmatch(UUID, text):
            await hub.remove(text)
            return text
        record = await _find_one(hub, text)
        await hub.remove(record.id)
        return f"{record.name} ({record.id})"


async def _find_one(hub: HubClient, text: str) -> AgentRecord:
    found = {one.id: one for one in await hub.find(name=text)}
    if _PART_OF_ID.fullmatch(text):
        every = await hub.find()
        found |= {one.id: one for one in every if one.id.startswith(text.lower())}
    if not found:
        raise HubError(f"no agent is called {text}, and no id begins so")
    if len(found) > 1:
        few = ", ".join(sorted(found)[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise HubError(
            f"{len(found)} agents are called {text} or have an id that begins so: give the id of "
            f"one ({few})"
        )
    return next(iter(found.values()))
