"""`homeport watch`: the agents as they are, and then every change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, assert_never

import click
from rich.text import Text

from agent_client import Event, Resync, Snapshot
from homeport_protocol.bounds import KINDS, Kind
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from hub.cli.client import connected
from hub.cli.filters import filter_options
from hub.cli.options import Target, examples, hub_options, json_option
from hub.cli.output import is_terminal, note, show, show_json_line
from hub.cli.tables import coloured, show_agents, show_rich
from hub.cli.text import SHORT_ID, condition, one_line, printable


@click.command(
    short_help="Follow the agents live.",
    epilog=examples(
        "homeport watch",
        "homeport watch --type cost --capability sql",
        "homeport watch --kind registered --kind unregistered --kind expired",
        "homeport watch --json | jq -c 'select(.kind == \"expired\") | .agent.name'",
        "homeport watch --json --since 1842 --log 5f0c9a",
    ),
)
@filter_options
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Only events of this kind; repeat it for several.",
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    metavar="REVISION",
    help="Go on after this revision of --log, instead of beginning with all agents.",
)
@click.option("--log", metavar="NAME", help="The log that --since is a revision of.")
@json_option
@hub_options
def watch(
    *,
    target: Target,
    filter: Filter,
    kinds: tuple[Kind, ...],
    since: int | None,
    log: str | None,
    as_json: bool,
) -> None:
    """Show the agents that match, and then every change of them, until Ctrl-C (exit status 0).

    When the connection is lost, a line on stderr says so, and the watch resumes without a gap; if
    the hub cannot tell what was missed, all agents are shown again.

    With --json, one JSON object a line: {"op": "snapshot" or "resync", "agents", "log",
    "revision"} or {"op": "event", "kind", "agent", "log", "revision", "coalesced"?}. The last
    line's log and revision are what --log and --since take to go on from there.
    """
    if (since is None) != (log is None):
        raise click.UsageError("--since REVISION and --log NAME go together")
    printer = _JsonLines(log) if as_json else _Lines()
    logging.getLogger("homeport.client").addHandler(_Troubles())
    try:
        following = _follow(
            target, wanted=filter, kinds=kinds, since=since, log=log, printer=printer
        )
        asyncio.run(following)
    except KeyboardInterrupt:
        if is_terminal():
            note("")  # so that the shell's prompt does not follow the ^C on one line


async def _follow(
    target: Target,
    *,
    wanted: Filter,
    kinds: tuple[Kind, ...],
    since: int | None,
    log: str | None,
    printer: _Printer,
) -> None:
    async with connected(target) as hub:
        async for message in hub.watch(wanted, kinds=kinds or None, since=since, log=log):
            match message:
                case Event():
                    printer.event(message)
                case Resync():
                    printer.resync(message)
                case Snapshot():
                    printer.snapshot(message)
                case _:
                    assert_never(message)


class _Troubles(logging.Handler):
    """Writes the client's warnings about a hub that is away to stderr; none twice in a row."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = one_line(record.getMessage())
        if text != self._told:
            self._told = text
            note(f"homeport: {text}")


class _JsonLines:
    """Every message as one line of JSON, each with the log's name so that a watch can resume."""

    def __init__(self, log: str | None) -> None:
        self._log = log

    def snapshot(self, snapshot: Snapshot) -> None:
        self._all("snapshot", snapshot)

    def resync(self, resync: Resync) -> None:
        self._all("resync", resync)

    def event(self, event: Event) -> None:
        line: dict[str, Any] = {
            "op": "event",
            "kind": event.kind,
            "agent": event.agent,
            "log": self._log,
            "revision": event.revision,
        }
        if event.coalesced:
            line["coalesced"] = True
        show_json_line(line)

    def _all(self, op: str, message: Snapshot | Resync) -> None:
        self._log = message.log
        show_json_line(
            {
                "op": op,
                "agents": message.agents,
                "log": message.log,
                "revision": message.revision,
            }
        )


class _Lines:
    """A table first, and then a readable line for each change, with the old and new status."""

    def __init__(self) -> None:
        self._conditions: dict[str, str] = {}

    def snapshot(self, snapshot: Snapshot) -> None:
        self._show(snapshot.agents)

    def resync(self, resync: Resync) -> None:
        show("")
        show("What happened meanwhile is not known; the agents as they are now:")
        self._show(resync.agents)

    def event(self, event: Event) -> None:
        agent = event.agent
        before = self._conditions.get(agent.id)
        after = condition(agent)
        if event.kind in ("unregistered", "expired"):
            self._conditions.pop(agent.id, None)
        else:
            self._conditions[agent.id] = after
        line = Text(f"{time.strftime('%H:%M:%S')}  {event.kind:<14}  ")
        line.append(f"{printable(agent.name)} ", style="bold")
        line.append(f"({agent.id[:SHORT_ID] if is_terminal() else agent.id})  ", style="dim")
        line.append("" if before in (None, after) else f"{before} -> ")
        line.append_text(coloured(agent.status, after))
        if event.coalesced:
            line.append("  (earlier changes were skipped)", style="dim")
        show_rich(line)

    def _show(self, agents: Iterable[AgentRecord]) -> None:
        known = list(agents)
        self._conditions = {agent.id: condition(agent) for agent in known}
        if known:
            show_agents(known)
        else:
            show("No agents match yet.")
        show("")


_Printer = _JsonLines | _Lines
