"""`homeport agents`, `agent` and `pick`: commands with one query and one answer."""

from __future__ import annotations

import asyncio

import click

from agent_client import AgentRecord, FlappingAgent
from homeport_protocol.bounds import (
    DEFAULT_FLAPPING_CHANGES,
    DEFAULT_FLAPPING_LIMIT,
    DEFAULT_FLAPPING_WITHIN,
    MAX_CHANGES,
    MAX_FLAPPING_LIMIT,
    MAX_WITHIN,
    STRATEGIES,
    Strategy,
)
from homeport_protocol.filters import Filter
from hub.cli.client import connected
from hub.cli.filters import filter_options
from hub.cli.lookup import check_named, find_agent
from hub.cli.options import Target, examples, hub_options, json_option
from hub.cli.output import show, show_json
from hub.cli.tables import show_agent, show_agents, show_flapping


@click.command(
    short_help="List the agents.",
    epilog=examples(
        "homeport agents",
        "homeport agents --type cost --status healthy",
        "homeport agents --capability sql --capability csv --version '>=1.2,<2'",
        "homeport agents --meta region=eu --meta gpu.count=4",
        "homeport agents --flapping --within 60",
        "homeport agents --json | jq -r '.agents[].name'",
    ),
)
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most this many; all of them when absent.",
)
@click.option(
    "--flapping",
    is_flag=True,
    help="Only agents that change often: that were lost, came back or changed their status.",
)
@click.option(
    "--changes",
    type=click.IntRange(1, MAX_CHANGES),
    metavar="N",
    help=f"With --flapping: at least so often.  [default: {DEFAULT_FLAPPING_CHANGES}]",
)
@click.option(
    "--within",
    type=click.FloatRange(0, MAX_WITHIN / 60, min_open=True),
    metavar="MINUTES",
    help=f"With --flapping: within the last minutes.  [default: {DEFAULT_FLAPPING_WITHIN / 60:g}]",
)
@json_option
@hub_options
def agents(
    target: Target,
    filter: Filter,
    limit: int | None,
    as_json: bool,
    *,
    flapping: bool,
    changes: int | None,
    within: float | None,
) -> None:
    """List the agents, all of them or those that match every given option.

    With --flapping, the agents that change often, the worst first: how often, and why last.

    With --json: {"agents": [...], "count": N}. A list without agents is no failure.
    """
    if flapping:
        often = asyncio.run(_flapping(target, filter, limit, changes, within))
        if as_json:
            show_json({"agents": often, "count": len(often)})
        elif often:
            show_flapping(often)
        else:
            show("No agent changes so often.")
        return
    if changes is not None or within is not None:
        raise click.UsageError("--changes and --within need --flapping")
    found = asyncio.run(_find(target, filter, limit))
    if as_json:
        show_json({"agents": [agent.to_dict() for agent in found], "count": len(found)})
    elif found:
        show_agents(found)
    else:
        show("No agents match.")


@click.command(
    short_help="Show one agent.",
    epilog=examples(
        "homeport agent 3f2a91bc-8f0e-4c57-9d39-0f1c2d7f5a11",
        "homeport agent 3f2a91bc",
        "homeport agent cost-agent-1 --json | jq .health",
    ),
)
@click.argument("agent", metavar="AGENT")
@json_option
@hub_options
def agent(target: Target, agent: str, as_json: bool) -> None:
    """Show all that is known about one agent.

    AGENT is the agent's id, the beginning of it (four characters or more), or its name; it must
    mean one agent. With --json: the record.
    """
    check_named(agent)
    _show_one(asyncio.run(_get(target, agent)), as_json)


@click.command(
    short_help="Choose one agent to give work to.",
    epilog=examples(
        "homeport pick --capability sql",
        "homeport pick --type cost --strategy least_loaded",
        "homeport pick --type application --strategy sticky --key customer-42",
        "homeport pick --capability sql --json | jq -r '\"\\(.host):\\(.port)\"'",
    ),
)
@filter_options
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="round_robin",
    show_default=True,
    help="How to choose among the agents that match.",
)
@click.option(
    "--key", metavar="TEXT", help="With sticky: the same key gets the same agent while it lives."
)
@json_option
@hub_options
def pick(
    target: Target,
    filter: Filter,
    strategy: Strategy,
    key: str | None,
    as_json: bool,
) -> None:
    """Choose one healthy agent among those that match every given option.

    An agent that is not healthy is considered only when --status accepts it, and one whose
    connection is lost never. Exit status 1 when no agent matches.
    """
    if (strategy == "sticky") != (key is not None):
        raise click.UsageError("--strategy sticky and --key TEXT go together")
    _show_one(asyncio.run(_pick(target, filter, strategy, key)), as_json)


async def _find(target: Target, wanted: Filter, limit: int | None) -> list[AgentRecord]:
    async with connected(target) as hub:
        return await hub.find(wanted, limit=limit)


async def _flapping(
    target: Target, wanted: Filter, limit: int | None, changes: int | None, within: float | None
) -> list[FlappingAgent]:
    if limit is not None:
        limit = min(limit, MAX_FLAPPING_LIMIT)
    async with connected(target) as hub:
        return await hub.flapping(
            wanted,
            changes=changes or DEFAULT_FLAPPING_CHANGES,
            within=within * 60 if within else DEFAULT_FLAPPING_WITHIN,
            limit=limit or DEFAULT_FLAPPING_LIMIT,
        )


async def _get(target: Target, text: str) -> AgentRecord:
    async with connected(target) as hub:
        return await find_agent(hub, text)


async def _pick(target: Target, wanted: Filter, strategy: Strategy, key: str | None) -> AgentRecord:
    async with connected(target) as hub:
        return await hub.pick(wanted, strategy=strategy, key=key)


def _show_one(record: AgentRecord, as_json: bool) -> None:
    if as_json:
        show_json(record.to_dict())
    else:
        show_agent(record)
