"""What a person reads in a terminal, and what a pipe gets."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from agent_client import AgentRecord
from homeport_protocol.timestamps import parse_timestamp
from hub.cli import tables, terminal
from hub.cli.tables import shortened, show_agent, show_agents
from tests.hub.cli.records import agent
from tests.support.records import NOW

LONG_LIST = [f"skill-{n}" for n in range(40)]


def make(name: str, **changes: object) -> AgentRecord:
    return msgspec.convert(agent(name, **changes), AgentRecord)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that stdout is a colour terminal of so many columns."""

    def of_width(columns: int) -> None:
        for module in (tables, terminal):
            monkeypatch.setattr(module, "is_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)

    return of_width


@pytest.fixture(autouse=True)
def three_seconds_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "now", lambda: parse_timestamp(NOW) + 3)


def silent(name: str) -> AgentRecord:
    facts = {**agent(name)["health"], "reason": "heartbeat_timeout"}
    return make(name, status="unreachable", health=facts)


def test_a_pipe_gets_plain_columns_with_nothing_shortened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_agents([make("beta", capabilities=LONG_LIST), silent("alpha")])
    out = capsys.readouterr().out
    head, alpha, beta = out.splitlines()
    assert "\x1b" not in out
    headings = "ID NAME TYPE STATUS REASON SEEN ADDRESS VERSION CAPABILITIES"
    assert " ".join(head.split()) == headings
    assert alpha.split() == [
        silent("alpha").id,
        "alpha",
        "cost",
        "unreachable",
        "heartbeat_timeout",
        "3s",
        "10.0.0.7:9000",
        "1.2.0",
        "sql,csv",
    ]
    assert ",".join(LONG_LIST) in beta
    assert beta.split()[4] == "-"
    assert head.index("STATUS") == alpha.index("unreachable")


def test_a_narrow_terminal_gets_short_ids_shortened_capabilities_and_colours(
    screen: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    screen(100)
    agent = make("beta", capabilities=LONG_LIST)
    show_agents([agent, silent("alpha")])
    out = capsys.readouterr().out
    assert agent.id not in out
    assert agent.id[:8] in out
    assert LONG_LIST[0] in out
    assert LONG_LIST[-1] not in out
    assert ", +3" in out
    assert "\x1b[32mhealthy" in out
    assert "\x1b[1;31munreachable" in out
    assert "heartbeat_timeout" in out
    assert " 3s " in out
    assert "2 agents: " in out
    assert "left out for 100 columns: version; --json has all" in out
    assert len(out.splitlines()) == 6


def test_a_wide_terminal_gets_whole_ids(
    screen: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    screen(180)
    agent = make("beta")
    show_agents([agent])
    out = capsys.readouterr().out
    assert agent.id in out
    assert "1 agent: " in out


def test_markup_and_escapes_in_what_agents_say_stay_text(
    screen: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    screen(180)
    agent = make("[red]x[/red]", capabilities=["\x1b]0;owned\x07"])
    show_agents([agent])
    show_agent(agent)
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b]0;owned" not in out
    assert "\\x1b]0;owned\\x07" in out


def test_one_agent_is_shown_whole_in_the_order_of_the_contract(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = make("solo", load=0.25, metadata={"region": "eu", "gpu": {"count": 2}}, hub="")
    show_agent(agent)
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    shown = {label.strip(): value.strip() for label, value in lines.items()}
    assert ", ".join(shown) == (
        "id, name, type, address, capabilities, status, version, registered, last seen, "
        "metadata.region, metadata.gpu, load, connection, reported, reason, since, epoch, hub, "
        "revision"
    )
    assert shown["id"] == agent.id
    assert shown["metadata.gpu"] == '{"count":2}'
    assert shown["load"] == "0.25"
    assert shown["last seen"] == f"{NOW} (3s ago)"
    assert shown["hub"] == "-"


def test_an_agent_without_metadata_and_load_has_no_lines_for_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = agent("bare")
    del bare["metadata"]
    show_agent(msgspec.convert(bare, AgentRecord))
    out = capsys.readouterr().out
    assert "metadata" not in out
    assert "load" not in out


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (13, "sql, csv, xml"),
        (12, "sql, csv, +1"),
        (11, "sql, +2"),
        (6, "s…, +2"),
        (4, "s…,…"),
        (1, "…"),
    ],
)
def test_a_list_too_long_is_shortened_to_whole_items_and_a_count(width: int, text: str) -> None:
    assert shortened("sql, csv, xml", width) == text


def test_one_long_item_is_cut() -> None:
    assert shortened("capability", 6) == "capab…"
    assert shortened("翻訳翻訳", 6) == "翻訳…"
    assert shortened("", 6) == ""
