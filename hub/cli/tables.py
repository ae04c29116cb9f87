"""Agents as tables and cards: coloured and fitted to a terminal, plain columns for a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from agent_client import AgentRecord, FlappingAgent
from homeport_protocol.bounds import STATUSES, Status
from hub.cli.output import is_terminal, now
from hub.cli.text import SHORT_ID, address, ago, condition, printable, reason

WIDE = 150
"""Width of a terminal from which a table shows whole ids."""

COLOURS: dict[Status, str] = {
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "unreachable": "bold red",
}

_HEADINGS = (
    "ID",
    "NAME",
    "TYPE",
    "STATUS",
    "REASON",
    "ADDRESS",
    "VERSION",
    "CAPABILITIES",
    "LAST SEEN",
)

_LEADING = ("ID", "NAME", "TYPE", "STATUS", "ADDRESS", "LAST SEEN")
"""The columns of a terminal's table, before the capabilities."""


def show_agents(agents: Sequence[AgentRecord]) -> None:
    """Print a table of `agents`, ordered by type and name."""
    ordered = sorted(agents, key=lambda agent: (agent.type, agent.name, agent.id))
    if is_terminal():
        show_rich(_rich_table(ordered, _console().width))
        show_rich(_summary(ordered))
    else:
        click.echo("\n".join(_plain_table(ordered)))


def show_flapping(agents: Sequence[FlappingAgent]) -> None:
    """Print a table of agents that change often, in their order."""
    instant = now()
    head = ("ID", "NAME", "TYPE", "STATUS", "REASON", "LAST CHANGE", "CHANGES")
    rows = [
        (
            *(agent.agent_id, agent.name, agent.type, agent.status, agent.last_reason),
            f"{agent.last_kind} {ago(agent.last_change, instant)}",
            str(agent.changes),
        )
        for agent in agents
    ]
    table = [head, *(tuple(printable(cell) or "-" for cell in row) for row in rows)]
    click.echo("\n".join(columns(table, numbers=1)))


def show_agent(agent: AgentRecord) -> None:
    """Print everything about one agent, one field a line, in the order of the contract."""
    fields = _fields(agent)
    width = max(len(label) for label, _ in fields)
    colour = COLOURS[agent.status]
    for label, value in fields:
        text = Text(f"{label:<{width}}  ", style="bold" if is_terminal() else "")
        text.append(value, style=colour if label == "status" else "not bold")
        show_rich(text)


def show_rich(renderable: RenderableType) -> None:
    """Print an object of rich at once, with what the output can show."""
    console = _console()
    with console.capture() as capture:
        # A pipe has no width, so nothing is cut or wrapped there.
        console.print(renderable, soft_wrap=isinstance(renderable, Text))
    click.echo(capture.get(), nl=False, color=True)  # rich has decided about colours


def coloured(status: Status, text: str) -> Text:
    """`text` in the colour of `status`."""
    return Text(text, style=COLOURS[status])


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _rich_table(agents: Sequence[AgentRecord], width: int) -> Table:
    wide = width >= WIDE
    instant = now()
    rows = [
        (
            Text(agent.id if wide else agent.id[:SHORT_ID], style="cyan"),
            Text(printable(agent.name)),
            Text(printable(agent.type)),
            coloured(agent.status, condition(agent)),
            Text(address(agent)),
            Text(ago(agent.last_seen, instant)),
        )
        for agent in agents
    ]
    # Capabilities get the width that the others leave, and at least that of their heading.
    cells = zip(_LEADING, *rows, strict=True)
    taken = sum(max(map(len, column)) + 2 for column in cells)
    room = max(width - taken, len("CAPABILITIES"))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in _LEADING:
        whole = heading in ("ID", "LAST SEEN")
        table.add_column(heading, no_wrap=whole, overflow="fold")
    table.add_column("CAPABILITIES", no_wrap=True, overflow="ellipsis")
    for row, agent in zip(rows, agents, strict=True):
        table.add_row(*row, Text(shortened(agent.capabilities, room)))
    return table


def shortened(items: Sequence[str], width: int) -> str:
    """As many of `items` as fit in `width` characters, then the number of others: `a, b, +3`."""
    text = ", ".join(map(printable, items))
    if len(text) <= width:
        return text
    for kept in range(len(items) - 1, 0, -1):
        text = ", ".join([*map(printable, items[:kept]), f"+{len(items) - kept}"])
        if len(text) <= width:
            return text
    rest = f", +{len(items) - 1}" if len(items) > 1 else ""
    return printable(items[0])[: max(width - len(rest) - 1, 1)] + "…" + rest


def _summary(agents: Sequence[AgentRecord]) -> Text:
    counts = Counter(agent.status for agent in agents)
    text = Text(f"\n{len(agents)} {'agent' if len(agents) == 1 else 'agents'}: ")
    for status in STATUSES:
        if counts[status]:
            text.append_text(coloured(status, f"{counts[status]} {status}")).append(", ")
    text.right_crop(2)
    return text


def _plain_table(agents: Sequence[AgentRecord]) -> list[str]:
    instant = now()
    return columns([_HEADINGS, *(_plain_row(agent, instant) for agent in agents)])


def columns(rows: Sequence[tuple[str, ...]], numbers: int = 0) -> list[str]:
    """The lines of a plain table; its last `numbers` columns are aligned to the right."""
    lines = []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        for at in range(len(row) - numbers, len(row)):
            cells[at] = row[at].rjust(widths[at])
        lines.append("  ".join(cells).rstrip())
    return lines


def _plain_row(agent: AgentRecord, instant: float) -> tuple[str, ...]:
    cells = (
        agent.id,
        agent.name,
        agent.type,
        agent.status,
        reason(agent),
        address(agent),
        agent.version,
        ",".join(agent.capabilities),
        ago(agent.last_seen, instant),
    )
    return tuple(printable(cell) or "-" for cell in cells)


def _fields(agent: AgentRecord) -> list[tuple[str, str]]:
    instant = now()
    fields = [
        ("id", agent.id),
        ("name", agent.name),
        ("type", agent.type),
        ("address", address(agent)),
        ("capabilities", ", ".join(agent.capabilities)),
        ("status", condition(agent)),
        ("version", agent.version),
        ("registered", f"{agent.registered_at} ({ago(agent.registered_at, instant)})"),
        ("last seen", f"{agent.last_seen} ({ago(agent.last_seen, instant)})"),
    ]
    fields += [
        (f"metadata.{key}", msgspec.json.encode(value).decode())
        for key, value in agent.metadata.items()
    ]
    if agent.load is not None:
        fields.append(("load", f"{agent.load:g}"))
    fields += [
        ("connection", agent.health.connection),
        ("reported", agent.health.reported),
        ("reason", agent.health.reason),
        ("since", f"{agent.health.since} ({ago(agent.health.since, instant)})"),
        ("epoch", str(agent.epoch)),
        ("hub", agent.hub),
        ("revision", str(agent.revision)),
    ]
    return [(printable(label), printable(value) or "-") for label, value in fields]
