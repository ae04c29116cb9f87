"""Tables that fit: which columns a terminal of any width shows, and how wide text really is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest
from rich.cells import cell_len

from agent_client import AgentRecord
from homeport_protocol.timestamps import parse_timestamp
from hub.cli import hubs, tables, terminal
from hub.cli.columns import Column, cut, fit, fitted, left_out, padded, plain
from hub.cli.tables import AGENT_COLUMNS, show_agent, show_agents
from tests.hub.cli.records import agent
from tests.support.records import NOW

HEALTH = agent("any")["health"]
WORDS = [column.heading for column in AGENT_COLUMNS]


def make(name: str, reason: str = "ok", **changes: object) -> AgentRecord:
    facts = {**HEALTH, "reason": reason}
    return msgspec.convert(agent(name, health=facts, **changes), AgentRecord)


def on_websocket(name: str, reason: str = "ok", **changes: object) -> AgentRecord:
    return make(name, reason, host="", port=0, **changes)


FLEET = [
    on_websocket("cost-optimizer-1", type="cost", capabilities=["spot_migration", "rightsizing"]),
    on_websocket("cost-optimizer-2", "heartbeat_timeout", type="cost", status="unreachable"),
    make("perf-analyzer-eu", type="performance", capabilities=["profiling"], version="2.11.0"),
    make("perf-analyzer-us", "heartbeat_overdue", type="performance", status="unhealthy"),
    make("gpu-scheduler", type="resource", host="gpu-sched.internal", capabilities=["gpu"]),
    make("db-primary", type="resource", port=5432, version="16.2"),
    make("db-replica-1", "connection_lost", type="resource", status="unreachable"),
    make("web-1", type="application", capabilities=["http"], version="9f3c2ab"),
    make("web-2", "self_reported", type="application", status="degraded"),
    on_websocket("planner", type="llm agent", capabilities=["plan", "estimate", "code_review"]),
    on_websocket("東京-translator", type="llm agent", capabilities=["翻訳", "summaries"]),
    on_websocket("reviewer", "draining", type="llm agent", capabilities=[]),
]
HOSTILE = make("evil\x1b[2J\u202egnp.exe\u200b", capabilities=["\x1b]0;owned\x07"])
LONG = make("n" * 128, type="t" * 64, host="h" * 255, capabilities=["c" * 128], version="v" * 64)


@pytest.fixture(autouse=True)
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "now", lambda: parse_timestamp(NOW) + 3)
    for module in (tables, terminal):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")


def shown(
    agents: Sequence[AgentRecord],
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    show_agents(agents)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_the_columns_that_matter_are_whole(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown([*FLEET, HOSTILE, LONG], width, capsys, monkeypatch)
    head, rows = lines[0], lines[1 : len(FLEET) + 3]
    assert [word for word in WORDS if word in head.split()] == head.split()
    for each in FLEET:
        (row,) = [row for row in rows if f"  {each.name} " in row]
        assert row.startswith(each.id[:8])
        said = row.partition(each.name)[2].split()
        assert each.status in said
        assert each.health.reason == "ok" or each.health.reason in said


@pytest.mark.parametrize("width", range(10, 220, 7))
def test_no_line_is_wider_than_the_terminal_and_each_agent_is_one(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [*FLEET, HOSTILE, LONG]
    lines = shown(agents, width, capsys, monkeypatch)
    table = lines[: lines.index("")]
    assert len(table) == 1 + len(agents)
    if width >= 40:  # a single word of what is below the table may be wider than that
        assert [line for line in lines if cell_len(line) > width] == []
    assert [line for line in table if cell_len(line) > width] == []
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("width", range(44, 260, 9))
def test_what_is_left_out_is_said(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(FLEET, width, capsys, monkeypatch)
    missing = [word.lower() for word in WORDS if word not in lines[0].split()]
    said = " ".join(lines[lines.index("") :])
    note = f"left out for {width} columns: {', '.join(missing)}; --json has all"
    assert (note in said) if missing else ("left out" not in said)


def test_a_wider_terminal_leaves_out_less(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [
        len(shown(FLEET, width, capsys, monkeypatch)[0].split()) for width in range(44, 260, 4)
    ]
    assert counts == sorted(counts)
    assert counts[-1] == len(WORDS)


def test_columns_are_aligned_whatever_the_letters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["plain", "東京", "e\u0301e\u0301", "👍🏽", "🇩🇪", "❤\ufe0f", "한글"]
    lines = shown([make(name) for name in names], 100, capsys, monkeypatch)
    at = lines[0].index("STATUS")
    for line in lines[1 : len(names) + 1]:
        before, _, _ = line.partition("healthy")
        assert cell_len(before) == at, line


def test_a_column_that_nothing_is_in_is_not_said_to_be_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = [on_websocket(f"agent-{n}", version="") for n in range(3)]
    assert "left out" not in "\n".join(shown(without, 80, capsys, monkeypatch))


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"00000000-0000-4000-8000-{n:012}" for n in (1, 2, 10)]
    lines = shown([make(f"n{each[-2:]}", id=each) for each in ids], 80, capsys, monkeypatch)
    assert [line.split()[0] for line in lines[1:4]] == ids
    twins = [make("a", id="3f2a91bc-8f0e" + ids[0][13:]), make("b", id="3f2a91bc-9" + ids[0][10:])]
    lines = shown(twins, 80, capsys, monkeypatch)
    assert [line.split()[0] for line in lines[1:3]] == ["3f2a91bc-8", "3f2a91bc-9"]


@pytest.mark.parametrize("record", [FLEET[0], HOSTILE, LONG])
@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_card_folds_what_is_long_and_leaves_out_nothing(
    record: AgentRecord,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    show_agent(msgspec.structs.replace(record, metadata={"m" * 90: ["v" * 90], "region": "eu"}))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if cell_len(line) > width] == []
    everything = "".join(line.strip() for line in lines)
    for text in (record.id, "m" * 90, f'["{"v" * 90}"]', record.version, record.health.since):
        assert text.replace(" ", "") in everything.replace(" ", "")
    values = [line for line in lines if line.startswith(" ")]
    assert len({len(line) - len(line.lstrip()) for line in values}) == 1


def test_a_pipe_has_the_same_columns_whole_and_cells_that_awk_can_tell_apart() -> None:
    rows = [[f"x{'  y' * at}", "", "z"] for at in range(3)]
    columns = [Column(heading=heading, rank=0, least=1, enough=2) for heading in ("A", "B C", "D")]
    lines = plain(columns, rows)
    assert [re.split("  +", line) for line in lines] == [
        ["A", "B C", "D"],
        ["x", "-", "z"],
        ["x \\x20y", "-", "z"],
        ["x \\x20y \\x20y", "-", "z"],
    ]


def test_one_long_text_does_not_push_out_other_columns() -> None:
    columns = [
        Column(heading="NAME", rank=0, least=8, enough=32, essential=True),
        Column(heading="LOAD", rank=1, least=4, enough=8, right=True),
    ]
    few = [["web", "1"]] * 9 + [["n" * 128, "20"]]
    assert fit(columns, few, 40) == ([34, 4],)
    lines = [line.plain for line in fitted(columns, few, fit(columns, few, 20))]
    assert lines[1] == "web                1"
    assert lines[10] == "nnnnnnnnnnnnn…    20"
    many = [["n" * 30, "1"]] * 9 + [["web", "20"]]
    layout = fit(columns, many, 34)
    assert layout == ([30, 0],)
    assert left_out(columns, many, layout) == ["load"]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("plain", 5, "plain"),
        ("plain", 4, "pla…"),
        ("東京都", 5, "東京…"),
        ("東京都", 4, "東…"),
        ("plain", 1, "…"),
        ("plain", 0, ""),
    ],
)
def test_a_text_is_cut_at_its_end(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
    assert cell_len(padded(cut(text, width), 6)) == 6


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("url", ["http://10.0.0.1:8080", "https://hub-1.eu-west.example.com:8443"])
def test_hubs_fit(url: str, width: int) -> None:
    rows = [[f"hub-{n}", url, "0.1.0", "12d", "1200", "12000", "0"] for n in range(3)]
    layout = fit(hubs.HUB_COLUMNS, rows, width)
    lines = fitted(hubs.HUB_COLUMNS, rows, layout)
    assert max(line.cell_len for line in lines) <= width
    if width >= 80:
        assert left_out(hubs.HUB_COLUMNS, rows, layout) in ([], ["version"])
        assert layout.widths[1]
