"""docs/protocol.md, and what other pages tell of the contract, against the types and the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from actors.agent.ask_queue import MAX_WAITING
from actors.rules.states import TRANSITIONS, State, StateChange
from actors.session.pipeline import MAX_PIPELINE
from actors.session.session import MAX_MALFORMED
from homeport_protocol.bounds import STATUSES, STRATEGIES, Kind, Reason
from homeport_protocol.codec import decode_message, decode_request, encode
from homeport_protocol.errors import FAILURES, CloseCode, ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentChanges, AgentRecord, AgentSpec, Health
from homeport_protocol.requests import OPS
from hub.cli.reasons import REASONS
from hub.settings import FIELDS
from tests.docs.pages import (
    ARCHITECTURE,
    HOW_TO,
    PROTOCOL,
    Block,
    block_id,
    blocks,
    codes,
    inline_code,
    json_texts,
    json_values,
    prose,
    table_rows,
)


def protocol_blocks(info: str) -> list[Block]:
    return [block for block in blocks(PROTOCOL) if block.info == info]


@pytest.mark.parametrize("block", protocol_blocks("json"), ids=block_id)
def test_every_message_in_an_example_is_one_of_the_contract(block: Block) -> None:
    texts = json_texts(block.text)
    assert texts
    for text, value in zip(texts, json_values(block.text), strict=True):
        if value["op"] in OPS and "hubs" not in value:  # whose answer has its name
            assert decode_request(text).id == value["id"]
        else:
            # Nothing is shown that the type does not have, and nothing is left out.
            assert msgspec.json.decode(encode(decode_message(text))) == value


@pytest.mark.parametrize("block", protocol_blocks("json refused"), ids=block_id)
def test_every_refusal_in_an_example_is_what_the_hub_says(block: Block) -> None:
    request, answer = json_texts(block.text)
    with pytest.raises(ProtocolError) as refused:
        decode_request(request)
    shown = msgspec.json.decode(answer)
    assert (shown["code"], shown["message"]) == (refused.value.code, refused.value.message)
    assert shown.get("field") == refused.value.field
    assert shown["id"] == refused.value.request_id
    assert shown["retryable"] is FAILURES[refused.value.code].retryable


def test_every_field_of_the_record_is_explained_in_its_order() -> None:
    rows = table_rows(PROTOCOL, "## The agent record")
    fields = [field for field in AgentRecord.__struct_fields__ if field != "health"]
    health = [f"health.{field}" for field in Health.__struct_fields__]
    named = [code for row in rows for code in codes(row[0])]
    assert [code for code in named if code not in health] == fields
    assert [code for code in named if code in health] == health


@pytest.mark.parametrize(("heading", "type"), [("register", AgentSpec), ("update", AgentChanges)])
def test_every_field_that_an_agent_sends_is_named(
    heading: str, type: type[AgentSpec | AgentChanges]
) -> None:
    section = prose(PROTOCOL).partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    assert set(type.__struct_fields__) <= set(codes(section))


def test_every_request_and_answer_has_an_example() -> None:
    shown = {value["op"] for block in protocol_blocks("json") for value in json_values(block.text)}
    answers = {
        "registered", "heartbeat_ack", "updated", "unregistered", "removed", "agents", "agent",
        "watching", "unwatched", "pong", "hubs", "loss_acknowledged", "snapshot", "event",
        "reading", "error",
    }  # fmt: skip
    assert shown == OPS | answers


def test_the_table_of_errors_is_the_contracts() -> None:
    rows = table_rows(PROTOCOL, "## Errors")
    assert {codes(row[0])[0]: row[1] == "yes" for row in rows} == {
        code: failure.retryable for code, failure in FAILURES.items()
    }


def test_every_close_code_is_explained() -> None:
    named = {
        int(code)
        for row in table_rows(PROTOCOL, "## Close codes")
        for code in re.findall(r"\d{4}", row[0])
    }
    assert {int(code) for code in CloseCode} <= named


def test_every_kind_strategy_filter_key_status_and_reason_is_named() -> None:
    named = set(inline_code(PROTOCOL))
    assert set(get_args(Kind)) <= named
    assert set(STRATEGIES) <= named
    assert set(STATUSES) <= named
    assert set(get_args(Reason)) <= named
    filter_rows = table_rows(PROTOCOL, "## Filters")
    assert {name for row in filter_rows for name in codes(row[0])} == set(Filter.__struct_fields__)


def test_the_limits_are_those_of_the_code() -> None:
    limits = "\n".join(" ".join(row) for row in table_rows(PROTOCOL, "## Limits"))
    for number in (MAX_PIPELINE, MAX_MALFORMED):
        assert re.search(rf"\b{number}\b", limits), number
    for name in ("max_rate", "max_watches", "max_namespaces", "max_agents", "log_length"):
        assert f"{FIELDS[name].default:,}" in limits, name
        assert f"`{FIELDS[name].flag}`" in limits, name
    for name in ("max_agent_bytes", "max_log_bytes", "max_unsent_bytes", "max_total_unsent_bytes"):
        assert f"{FIELDS[name].default // 2**20} MiB (`{FIELDS[name].flag}`)" in limits, name
    assert f"{FIELDS['send_timeout'].default:g} s (`{FIELDS['send_timeout'].flag}`)" in limits
    assert f"{MAX_WAITING:,}" in prose(PROTOCOL)


def test_every_reason_has_its_row_in_the_troubleshooting() -> None:
    rows = table_rows(HOW_TO, "## Find out why an agent is not healthy")
    assert sorted(codes(row[0])[0] for row in rows) == sorted(get_args(Reason))


def test_the_diagram_of_an_agents_life_is_the_table_in_the_code() -> None:
    diagrams = [block.text for block in blocks(ARCHITECTURE) if block.info == "mermaid"]
    (life,) = [text for text in diagrams if text.startswith("stateDiagram")]
    drawn = [
        (before, change.replace(" ", "_").upper(), after)
        for before, after, changes in re.findall(r"^ +(\w+) --> (\w+): (.+)$", life, re.MULTILINE)
        for change in changes.split(", ")
    ]
    assert sorted(drawn) == sorted(
        (before.name, change.name, after.name) for (before, change), after in TRANSITIONS.items()
    )
    changes = [row[0] for row in table_rows(ARCHITECTURE, "The changes:")]
    assert {change.replace(" ", "_").upper() for change in changes} == set(StateChange.__members__)
    states = [row[0] for row in table_rows(ARCHITECTURE, "The states:")]
    assert states == list(State.__members__)


@pytest.mark.parametrize(
    ("page", "head"),
    [(PROTOCOL, "| reason | why"), (HOW_TO, "| `health.reason` | what")],
    ids=["protocol", "how-to"],
)
def test_a_reason_is_told_in_the_same_words_everywhere(page: Path, head: str) -> None:
    table = page.read_text(encoding="utf-8").split(head)[1].split("\n\n")[0].splitlines()[2:]
    told = dict(line.strip("| ").split(" | ")[:2] for line in table)
    assert told == {f"`{word}`": sentence for word, sentence in REASONS.items()}
