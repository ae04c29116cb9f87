"""Cells, ages, addresses, and what must never reach a terminal."""

from __future__ import annotations

import json

import msgspec
import pytest

from agent_client import AgentRecord
from homeport_protocol.timestamps import format_timestamp
from hub.cli.reasons import condition
from hub.cli.text import address, age, ago, one_line, printable, printable_json
from tests.hub.cli.records import agent


def make(**changes: object) -> AgentRecord:
    return msgspec.convert(agent("one", **changes), AgentRecord)


def health(**changes: object) -> dict[str, object]:
    return {**agent("one")["health"], **changes}


def test_an_escape_sequence_in_a_name_is_shown_and_not_obeyed() -> None:
    assert printable("\x1b[2Jred\u202e\n") == "\\x1b[2Jred\\u202e\\n"
    assert printable("Zürich 東京 é") == "Zürich 東京 é"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x7fb\x9bc", "a\\x7fb\\x9bc"),  # DEL, and the one-character form of ESC [
        ("\u202epng.exe", "\\u202epng.exe"),
        ("\u2066left\u2069", "\\u2066left\\u2069"),
        ("ad\u200bmin\u2060\ufeff", "ad\\u200bmin\\u2060\\ufeff"),
        ("\u3164\u115f\u034f", "\\u3164\\u115f\\u034f"),
        ("\U000e0041\U000e0101", "\\U000e0041\\U000e0101"),
        ("\ud800", "\\ud800"),
        ("\u0301x", "\\u0301x"),  # would sit on the table's own letter before it
        ("e\u0301 แก้ว", "e\u0301 แก้ว"),
        ("z" + "\u0335" * 6, "z" + "\u0335" * 4 + "\\u0335" * 2),
    ],
)
def test_what_a_terminal_would_obey_or_not_show_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_same_is_escaped_in_json_which_stays_equal() -> None:
    value = {
        "name": "\x1b[2J\x7f\x9b\u202e\u2067\u200b\U000e0041",
        "plain": "東京 \\u é 👍",
        "list": ["\u3164", 'quote "', "line\nend\ttab"],
    }
    document = json.dumps(value, ensure_ascii=False, indent=2)
    shown = printable_json(document)
    assert json.loads(shown) == value
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\\u001b[2J\\u007f\\u009b\\u202e\\u2067\\u200b\\udb40\\udc41" in shown
    assert "東京 \\\\u é 👍" in shown
    assert len(shown.split("\n")) == len(document.split("\n"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "now"),
        (0.4, "now"),
        (3, "3s ago"),
        (119, "119s ago"),
        (120, "2m ago"),
        (7_199, "119m ago"),
        (7_200, "2h ago"),
        (172_800, "2d ago"),
    ],
)
def test_an_age_is_told_in_its_natural_unit(seconds: float, words: str) -> None:
    assert ago(format_timestamp(1_000_000), 1_000_000 + seconds) == words
    assert age(format_timestamp(1_000_000), 1_000_000 + seconds) == words.removesuffix(" ago")


def test_a_timestamp_of_a_legacy_record_that_is_none_is_shown_as_it_is() -> None:
    assert ago("yesterday", 0) == "yesterday"


def test_an_address_is_host_and_port_or_the_websocket() -> None:
    assert address(make()) == "10.0.0.7:9000"
    assert address(make(host="::1", port=80)) == "[::1]:80"
    assert address(make(host="", port=0)) == "websocket"
    assert address(make(host="web", port=0, health=health(connection="http"))) == "web"


def test_a_condition_says_why_an_agent_is_not_simply_well() -> None:
    assert condition(make()) == "healthy"
    silent = make(status="unreachable", health=health(reason="heartbeat_timeout"))
    assert condition(silent) == "unreachable (heartbeat_timeout)"
    lost = make(health=health(connection="lost"))
    assert condition(lost) == "healthy (connection_lost)"


def test_a_message_becomes_one_line_without_its_full_stop() -> None:
    assert one_line("first\n  second\x07.\n") == "first second\\x07"
