"""`homeport hubs` and `homeport acknowledge-loss`: the cluster, for its operators."""

from __future__ import annotations

import asyncio

import click
from rich.text import Text

from agent_client import Hubs, HubStatus, LossAcknowledged
from hub.cli.client import connected
from hub.cli.columns import Column
from hub.cli.options import Target, examples, hub_options, json_option
from hub.cli.output import now, show, show_json
from hub.cli.terminal import show_table
from hub.cli.text import age, printable

HUB_COLUMNS = (
    Column(heading="HUB", rank=0, least=8, enough=24, essential=True),
    Column(heading="URL", rank=5, least=22, enough=36),
    Column(heading="VERSION", rank=6, least=7, enough=12),
    Column(heading="UP", rank=4, least=2, enough=8, right=True),
    Column(heading="AGENTS", rank=1, least=6, enough=9, essential=True, right=True),
    Column(heading="SESSIONS", rank=3, least=8, enough=9, essential=True, right=True),
    Column(heading="LAG", rank=2, least=3, enough=9, essential=True, right=True),
)
"""The columns of the table of hubs, in their order; UP is for how long."""


@click.command(
    short_help="List the hubs of the cluster.",
    epilog=examples(
        "homeport hubs",
        "homeport hubs --namespace team-a",
        "homeport hubs --json | jq -r '.hubs[] | select(.lag > 1000) | .hub_id'",
    ),
)
@json_option
@hub_options
def hubs(target: Target, as_json: bool) -> None:
    """List the hubs that live and share one directory; * marks the one that answered.

    UP is how long ago a hub started. AGENTS and SESSIONS are those that it looks after itself.
    LAG is by how many changes of the directory it is behind the hub that is furthest. Each hub
    says so once a second, so a little lag is usual while much changes. All of it is of one
    namespace.

    With --json: {"hubs": [...], "answered_by": ID, "log": NAME, "revision": N}.
    """
    answer = asyncio.run(_hubs(target))
    if as_json:
        show_json(
            {
                "hubs": answer.hubs,
                "answered_by": answer.answered_by,
                "log": answer.log,
                "revision": answer.revision,
            }
        )
        return
    instant = now()
    rows = [_row(hub, answer.answered_by, instant) for hub in answer.hubs]
    show_table(HUB_COLUMNS, rows, _summary(answer))


@click.command(
    "acknowledge-loss",
    short_help="Let agents be removed that were lost at once.",
    epilog=examples(
        "homeport acknowledge-loss",
        "homeport acknowledge-loss --namespace team-a",
    ),
)
@hub_options
def acknowledge_loss(target: Target) -> None:
    """Let agents be removed that were lost at once.

    When unusually many agents become unreachable within a minute, that is more often the network's
    fault than theirs: they are shown as unreachable, but not removed for a while. Say with this
    command that they are really gone. All hubs of the cluster hear it.
    """
    answer = asyncio.run(_acknowledge_loss(target))
    if answer.agents:
        noun = "agent that was" if answer.agents == 1 else "agents that were"
        show(f"Acknowledged: {answer.agents} {noun} lost at once may be removed now.")
    else:
        show("Nothing was held back: no agents were lost at once.")


async def _hubs(target: Target) -> Hubs:
    async with connected(target) as hub:
        return await hub.hubs()


async def _acknowledge_loss(target: Target) -> LossAcknowledged:
    async with connected(target) as hub:
        return await hub.acknowledge_loss()


def _row(hub: HubStatus, answered_by: str, instant: float) -> tuple[str, ...]:
    cells = (
        hub.hub_id + ("*" if hub.hub_id == answered_by else ""),
        hub.url,
        hub.version,
        age(hub.started, instant),
        str(hub.agents),
        str(hub.sessions),
        str(hub.lag),
    )
    return tuple(map(printable, cells))


def _summary(answer: Hubs) -> list[Text]:
    agents = sum(hub.agents for hub in answer.hubs)
    sessions = sum(hub.sessions for hub in answer.hubs)
    return [
        Text(_count(len(answer.hubs), "hub")),
        Text(_count(agents, "agent")),
        Text(_count(sessions, "session")),
        Text(f"revision {answer.revision}"),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
