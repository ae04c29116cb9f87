"""`homeport watch`: the agents as they are, and then every change."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from typing import Any, TypedDict, assert_never

import click
from rich.text import Text

from agent_client import AgentRecord, Event, Reading, Resync, Snapshot
from homeport_protocol.bounds import KINDS, Kind
from homeport_protocol.filters import Filter
from hub.cli.client import connected
from hub.cli.columns import cut
from hub.cli.filters import filter_options
from hub.cli.options import Target, examples, hub_options, json_option
from hub.cli.output import is_terminal, note, show, show_json_line
from hub.cli.reasons import condition
from hub.cli.tables import coloured, show_agents
from hub.cli.terminal import show_text, terminal_width
from hub.cli.text import SHORT_ID, one_line, printable

TIMED = 72
"""Columns of a terminal from which a line of a change begins with its time."""

LONG_NAME, SHORT_NAME = 32, 8
"""Cells that an agent's name gets before the rest of a line is left out; and that it keeps."""


@click.command(
    short_help="Follow the agents live.",
    epilog=examples(
        "homeport watch",
        "homeport watch --type cost --capability sql",
        "homeport watch --kind registered --kind unregistered --kind expired",
        "homeport watch --type cost --readings",
        "homeport watch --json | jq -c 'select(.kind == \"expired\") | .agent.name'",
        "homeport watch --json --position 5f0c9a1e.1842.f2a96c0d1b3e.0c7e51d2a8b94f60",
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
@click.option("--readings", is_flag=True, help="Show loads that move as well; they are no events.")
@click.option(
    "--position",
    metavar="TEXT",
    help="Go on after this position of an earlier watch, instead of beginning with all agents.",
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    metavar="REVISION",
    help="Go on after this revision of --log; --position is safer.",
)
@click.option("--log", metavar="NAME", help="The change log that --since is a revision of.")
@json_option
@hub_options
def watch(
    *,
    target: Target,
    filter: Filter,
    kinds: tuple[Kind, ...],
    readings: bool,
    position: str | None,
    since: int | None,
    log: str | None,
    as_json: bool,
) -> None:
    """Show the agents that match, and then every change of them, until Ctrl-C (exit status 0).

    When the connection is lost, a line on stderr says so, and the watch resumes without a gap; if
    the hub cannot tell what was missed, all agents are shown again.

    With --json, one JSON object a line: {"op": "snapshot" or "resync", "agents", "log",
    "revision", "position"}, {"op": "event", "kind", "agent", "log", "revision", "position",
    "coalesced"?} or {"op": "reading", "loads"}. The last position is what --position takes to go on
    from there; --log and --since do so too, but do not see a Redis that came back older.
    """
    if position is not None and (since is not None or log is not None):
        raise click.UsageError(
            "--position TEXT stands for --since and --log: give one or the other"
        )
    if (since is None) != (log is None):
        raise click.UsageError("--since REVISION and --log NAME go together")
    options = _Options(
        kinds=kinds or None, readings=readings, since=since, log=log, position=position
    )
    printer = _JsonLines() if as_json else _Lines()
    logging.getLogger("homeport.client").addHandler(_Troubles())
    try:
        asyncio.run(_follow(target, filter, options, printer))
    except KeyboardInterrupt:
        if is_terminal():
            note("")  # so that the shell's prompt does not follow the ^C on one line


async def _follow(
    target: Target,
    wanted: Filter,
    options: _Options,
    printer: _Printer,
) -> None:
    async with connected(target) as hub:
        messages = hub.watch(wanted, **options)
        async for message in messages:
            match message:
                case Event():
                    printer.event(message, messages.log)
                case Reading():
                    printer.reading(message)
                case Resync():
                    printer.resync(message)
                case Snapshot():
                    printer.snapshot(message)
                case _:
                    assert_never(message)


class _Options(TypedDict):
    """What is watched, and where an earlier watch was."""

    kinds: tuple[Kind, ...] | None
    readings: bool
    since: int | None
    log: str | None
    position: str | None


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
    """Every message as one line of JSON, each with its position so that a watch can resume."""

    def snapshot(self, snapshot: Snapshot) -> None:
        self._all("snapshot", snapshot)

    def resync(self, resync: Resync) -> None:
        self._all("resync", resync)

    def event(self, event: Event, log: str | None) -> None:
        line: dict[str, Any] = {
            "op": "event",
            "kind": event.kind,
            "agent": event.agent.to_dict(),
            "log": log,
            "revision": event.revision,
            **_position_of(event),
        }
        if event.coalesced:
            line["coalesced"] = True
        show_json_line(line)

    def reading(self, reading: Reading) -> None:
        show_json_line({"op": "reading", "loads": reading.loads})

    def _all(self, op: str, message: Snapshot | Resync) -> None:
        show_json_line(
            {
                "op": op,
                "agents": [agent.to_dict() for agent in message.agents],
                "log": message.log,
                "revision": message.revision,
                **_position_of(message),
            }
        )


def _position_of(item: Snapshot | Resync | Event) -> dict[str, str]:
    return {} if item.position is None else {"position": item.position}


class _Lines:
    """A table first, and then a readable line for each change, with the old and new status."""

    def __init__(self) -> None:
        self._conditions: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def snapshot(self, snapshot: Snapshot) -> None:
        self._show(snapshot.agents)

    def resync(self, resync: Resync) -> None:
        show("")
        show("What happened meanwhile is not known; the agents as they are now:")
        self._show(resync.agents)

    def event(self, event: Event, _log: str | None) -> None:
        agent = event.agent
        before = self._conditions.get(agent.id)
        after = printable(condition(agent))
        if event.kind in ("unregistered", "expired"):
            self._conditions.pop(agent.id, None)
            self._names.pop(agent.id, None)
        else:
            self._conditions[agent.id] = after
            self._names[agent.id] = agent.name
        changed = before not in (None, after)
        show_text(
            _line(
                event.kind,
                agent.name,
                agent.id,
                coloured(agent.status, after),
                before=f"{before} -> " if changed else "",
                remark="  (earlier changes were skipped)" if event.coalesced else "",
            )
        )

    def reading(self, reading: Reading) -> None:
        for agent_id, load in reading.loads.items():
            name = self._names.get(agent_id, "?")
            show_text(_line("reading", name, agent_id, Text(f"load {load:g}")))

    def _show(self, agents: Iterable[AgentRecord]) -> None:
        known = list(agents)
        self._conditions = {agent.id: printable(condition(agent)) for agent in known}
        self._names = {agent.id: agent.name for agent in known}
        if known:
            show_agents(known)
        else:
            show("No agents match yet.")
        show("")


def _line(
    kind: str, name: str, agent_id: str, after: Text, *, before: str = "", remark: str = ""
) -> Text:
    """What happened to an agent; on a terminal in one line, however narrow that is."""
    terminal = is_terminal()
    width = terminal_width() if terminal else sys.maxsize
    begin = f"{kind:<14}  " if width < TIMED else f"{time.strftime('%H:%M:%S')}  {kind:<14}  "
    shown_id = printable(agent_id[:SHORT_ID] if terminal else agent_id)

    def line(name_width: int, *, with_id: bool = False, with_before: bool = False) -> Text:
        text = Text(begin).append(cut(printable(name), name_width), style="bold")
        text.append(f" ({shown_id})" if with_id else "", style="dim").append("  ")
        text.append(before if with_before else "").append_text(after)
        return text.append(remark, style="dim")

    for wide in (
        line(width, with_id=True, with_before=True),
        line(LONG_NAME, with_id=True, with_before=True),
        line(LONG_NAME, with_id=True),
        line(LONG_NAME),
    ):
        if wide.cell_len <= width:
            return wide
    others = line(0).cell_len
    narrow = line(max(width - others, SHORT_NAME))
    narrow.truncate(width, overflow="ellipsis")
    return narrow


_Printer = _JsonLines | _Lines
