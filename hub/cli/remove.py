"""`homeport remove`: an operator takes an agent out of the directory."""

from __future__ import annotations

import asyncio

import click

from hub.cli.client import connected
from hub.cli.lookup import check_named, find_agent, is_id
from hub.cli.options import Target, examples, hub_options
from hub.cli.output import show
from hub.cli.text import printable


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
    check_named(agent)
    removed = asyncio.run(_remove(target, agent))
    show(f"Removed {printable(removed)}.")


async def _remove(target: Target, text: str) -> str:
    async with connected(target) as hub:
        if is_id(text):
            await hub.remove(text)
            return text
        record = await find_agent(hub, text)
        await hub.remove(record.id)
        return f"{record.name} ({record.id})"
