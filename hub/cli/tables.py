"""Agents as tables and cards: coloured and fitted to a terminal, plain columns for a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

import msgspec
from rich.cells import cell_len
from rich.text import Text

from agent_client import AgentRecord, FlappingAgent
from homeport_protocol.bounds import STATUSES, Status
from hub.cli.columns import Column, cut, fit
from hub.cli.output import is_terminal, now, show
from hub.cli.reasons import condition, explained, reason
from hub.cli.terminal import console, show_table, show_text, terminal_width
from hub.cli.text import SHORT_ID, address, age, ago, printable

COLOURS: dict[Status, str] = {
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "unreachable": "bold red",
}

LABEL = 24
"""Cells of a terminal to which the labels of a card are aligned; a longer one has its own line."""


def shortened(text: str, width: int) -> str:
    """As many items of the list `text` as fit, then the number of others: `a, b, +3`."""
    if cell_len(text) <= width:
        return text
    items = text.split(", ")
    for kept in range(len(items) - 1, 0, -1):
        text = ", ".join([*items[:kept], f"+{len(items) - kept}"])
        if cell_len(text) <= width:
            return text
    rest = f", +{len(items) - 1}" if len(items) > 1 else ""
    return cut(cut(items[0], max(width - len(rest), 2)) + rest, width)


_ID = Column(
    heading="ID", rank=3, least=SHORT_ID, enough=36, essential=True, style=lambda cell: "cyan"
)
_NAME = Column(heading="NAME", rank=0, least=8, enough=32, essential=True)
_TYPE = Column(heading="TYPE", rank=5, least=8, enough=16)
_STATUS = Column(
    heading="STATUS",
    rank=1,
    least=11,
    enough=11,
    essential=True,
    style=lambda cell: next((COLOURS[status] for status in STATUSES if status == cell), ""),
)
_REASON = Column(heading="REASON", rank=2, least=17, enough=17, essential=True)

AGENT_COLUMNS = (
    _ID,
    _NAME,
    _TYPE,
    _STATUS,
    _REASON,
    Column(heading="SEEN", rank=4, least=4, enough=8, right=True),
    Column(heading="ADDRESS", rank=7, least=21, enough=28),
    Column(heading="VERSION", rank=8, least=8, enough=12),
    Column(heading="CAPABILITIES", rank=6, least=12, enough=24, shorten=shortened),
)
"""The columns of every table of agents, in their order; SEEN is how long ago that was."""

FLAPPING_COLUMNS = (
    _ID,
    _NAME,
    _TYPE,
    _STATUS,
    _REASON,
    Column(heading="KIND", rank=6, least=14, enough=14),
    Column(heading="CHANGED", rank=4, least=7, enough=8, right=True),
    Column(heading="CHANGES", rank=3, least=7, enough=9, essential=True, right=True),
)
"""The columns of agents that change often: KIND is that of the last change, CHANGED its age."""


def show_agents(agents: Sequence[AgentRecord]) -> None:
    """Print a table of `agents`, ordered by type and name."""
    ordered = sorted(agents, key=lambda agent: (agent.type, agent.name, agent.id))
    instant = now()
    comma = ", " if is_terminal() else ","
    rows = [_row(agent, comma, instant) for agent in ordered]
    _show_table(AGENT_COLUMNS, rows, [agent.status for agent in agents])


def show_flapping(agents: Sequence[FlappingAgent]) -> None:
    """Print a table of agents that change often, in their order."""
    instant = now()
    rows = [
        (
            agent.agent_id,
            agent.name,
            agent.type,
            agent.status,
            agent.last_reason,
            agent.last_kind,
            age(agent.last_change, instant),
            str(agent.changes),
        )
        for agent in agents
    ]
    _show_table(FLAPPING_COLUMNS, rows, [agent.status for agent in agents])


def show_agent(agent: AgentRecord) -> None:
    """Print everything about one agent, one field a line, in the order of the contract."""
    fields = _fields(agent)
    widest = max(n for label, _ in fields if (n := cell_len(label)) <= LABEL)
    colour = COLOURS[agent.status]
    for label, value in fields:
        if not is_terminal():
            show(f"{label}{' ' * (widest - cell_len(label))}  {value}")
            continue
        head = Text(label, style="bold")
        if cell_len(label) > widest:
            show_text(_beside(Text(), head))
            head = Text()
        head.append(" " * (widest - head.cell_len) + "  ")
        show_text(_beside(head, Text(value, style=colour if label == "status" else "")))


def coloured(status: Status, text: str) -> Text:
    """`text` in the colour of `status`."""
    return Text(text, style=COLOURS[status])


def _beside(label: Text, value: Text) -> Text:
    """A field of a card, with a value too long for its line folded under its beginning."""
    room = max(terminal_width() - label.cell_len, 8)
    lines = value.wrap(console(), room, overflow="fold")
    for line in lines:
        line.rstrip()
    return label + Text("\n" + " " * label.cell_len).join(lines)


def _row(agent: AgentRecord, comma: str, instant: float) -> tuple[str, ...]:
    return (
        agent.id,
        agent.name,
        agent.type,
        agent.status,
        reason(agent),
        age(agent.last_seen, instant),
        address(agent),
        agent.version,
        comma.join(agent.capabilities),
    )


def _show_table(
    columns: Sequence[Column], rows: Sequence[tuple[str, ...]], statuses: Sequence[Status]
) -> None:
    """Print a table of agents: ids first, and shortened where whole ones take others' room."""
    cells = [tuple(map(printable, row)) for row in rows]
    if is_terminal() and not fit(columns, cells, terminal_width()).complete:
        short = _short_ids([row[0] for row in cells])
        cells = [(row[0][:short], *row[1:]) for row in cells]
    counts = Counter(statuses)
    summary = [coloured(each, f"{counts[each]} {each}") for each in STATUSES if counts[each]]
    summary[0] = Text(f"{len(rows)} {'agent' if len(rows) == 1 else 'agents'}: ") + summary[0]
    show_table(columns, cells, summary)


def _short_ids(ids: Sequence[str]) -> int:
    """How many characters tell all of the ids apart."""
    different = set(ids)
    return next(n for n in count(SHORT_ID) if len({each[:n] for each in ids}) == len(different))


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
        ("reason", explained(agent)),
        ("since", f"{agent.health.since} ({ago(agent.health.since, instant)})"),
        ("epoch", str(agent.epoch)),
        ("hub", agent.hub),
        ("revision", str(agent.revision)),
    ]
    return [(printable(label), printable(value) or "-") for label, value in fields]
