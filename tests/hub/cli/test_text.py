"""Cells, ages, addresses, and what must never reach a terminal."""

from __future__ import annotations

import msgspec
import pytest

from agent_client import AgentRecord
from homeport_protocol.timestamps import format_timestamp
from hub.cli.text import address, ago, condition, one_line, printable
from tests.hub.cli.records import agent


def make(**changes: object) -> AgentRecord:
    return msgspec.convert(agent("one", **changes), AgentRecord)


def health(**changes: object) -> dict[str, object]:
    return {**agent("one")["health"], **changes}


def test_an_escape_sequence_in_a_name_is_shown_and_not_obeyed() -> None:
    assert printable("\x1b[2Jred\u202e\n") == "\\x1b[2Jred\\u202e\\n"
    assert printable("Zürich 東京 é") == "Zürich 東京 é"


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
