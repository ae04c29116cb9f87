"""Whatever a program sends by mistake or malice: the contract's error, and nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.records import SOMEONE
from tests.support import bad_values as bad
from tests.support.bad_values import BAD
from tests.support.neighbours import Neighbour, assert_error
from tests.support.wire import Wire

pytestmark = pytest.mark.usefixtures("noticed_nothing")


def text(op: str, **fields: str) -> str:
    """A request with the id 7; the fields are JSON texts."""
    parts = [f'"op":"{op}"', '"id":7', *(f'"{name}":{value}' for name, value in fields.items())]
    return "{" + ",".join(parts) + "}"


def nested(path: list[str], value: str) -> str:
    for key in reversed(path):
        value = f'{{"{key}":{value}}}'
    return value


def agent_with(field: str, value: str) -> str:
    fields = {"name": '"a"', "type": '"cost"', field: value}
    return "{" + ",".join(f'"{name}":{part}' for name, part in fields.items()) + "}"


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What is wrong, the whole message, the code, the field to blame."""
    tables: list[tuple[str, dict[str, str], dict[str, list[tuple[str, str]]]]] = [
        ("register", {"agent": agent_with("name", '"a"')}, {"agent_id": bad.AGENT_ID}),
        ("register", {}, {"agent": bad._all(["null", *bad._OBJECT])}),
        (
            "resume",
            {"agent_id": f'"{SOMEONE}"', "session_token": '"t"'},
            {
                "agent_id": [("null", BAD), *bad.AGENT_ID],
                "session_token": [("null", BAD), *bad.TOKEN],
                "agent": bad._all(bad._OBJECT),
            },
        ),
        (
            "heartbeat",
            {},
            {"status": bad.STATUS, "metadata": bad.METADATA, "load": bad.LOAD},
        ),
        ("update", {}, bad.CHANGES),
        (
            "find",
            {},
            {"filter": bad._all(bad._OBJECT), "limit": bad.LIMIT, "cursor": bad.CURSOR},
        ),
        ("get", {}, {"agent_id": [("null", BAD), *bad.AGENT_ID]}),
        (
            "pick",
            {},
            {
                "filter": bad._all(bad._OBJECT),
                "strategy": bad._all(["5", "{}", '""', '"best"', '"Random"']),
            },
        ),
        ("pick", {"strategy": '"sticky"'}, {"key": bad._all(["5", "{}", "true"])}),
        ("watch", {}, {"filter": bad._all(bad._OBJECT)}),
        ("watch", {"log": '"l"'}, {"since": bad.SINCE}),
        ("watch", {"since": "1"}, {"log": bad._all(["5", "{}", "true"])}),
        ("unwatch", {}, {"watch": [("null", BAD), *bad.WATCH]}),
    ]
    for op, base, fields in tables:
        for field, values in fields.items():
            for value, code in values:
                yield f"{op}.{field}", text(op, **{**base, field: value}), code, field
    for field, values in bad.AGENT.items():
        for value, code in values:
            message = text("register", agent=agent_with(field, value))
            yield f"register.agent.{field}", message, code, f"agent.{field}"
    for field, values in bad.FILTER.items():
        for op in ("find", "pick", "watch"):
            for value, code in values:
                message = text(op, filter=f'{{"{field}":{value}}}')
                yield f"{op}.filter.{field}", message, code, f"filter.{field}"
    missing = {
        "register without agent": (text("register"), "agent"),
        "register without name": (text("register", agent='{"type":"cost"}'), "agent.name"),
        "register without type": (text("register", agent='{"name":"a"}'), "agent.type"),
        "resume without agent_id": (text("resume", session_token='"t"'), "agent_id"),
        "resume without session_token": (text("resume", agent_id=f'"{SOMEONE}"'), "session_token"),
        "get without agent_id": (text("get"), "agent_id"),
        "sticky pick without key": (text("pick", strategy='"sticky"'), "key"),
        "watch with since without log": (text("watch", since="1"), "log"),
        "watch with log without since": (text("watch", log='"l"'), "since"),
        "unwatch without watch": (text("unwatch"), "watch"),
    }
    for name, (message, field) in missing.items():
        yield name, message, BAD, field


ROWS = list(rows())


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [row[1:] for row in ROWS],
    ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)],
)
def test_a_wrong_field_is_named_and_the_connection_lives(
    wire: Wire, message: str, code: str, field: str
) -> None:
    if message.startswith(('{"op":"heartbeat"', '{"op":"update"')):
        wire.register("wrong-field")
    wire.send(message)
    answer = wire.answer()
    assert_error(answer, code, None, 7)
    # A single element of a list may be blamed by its place.
    blamed = str(answer.get("field"))
    assert blamed == field or blamed.startswith((f"{field}[", f"{field}.")), answer
    wire.ping()


def test_changes_that_a_resume_brings_are_checked_like_any_other(
    wire: Wire, neighbour: Neighbour
) -> None:
    agent, registered = neighbour.place.agent("resumed-badly")
    for number, (field, values) in enumerate(bad.CHANGES.items()):
        for value, code in values[:4]:
            wire.send(
                text(
                    "resume",
                    agent_id=json.dumps(registered["agent_id"]),
                    session_token=json.dumps(registered["session_token"]),
                    agent=f'{{"{field}":{value}}}',
                )
            )
            answer = wire.answer()
            assert_error(answer, code, None, 7)
            assert str(answer.get("field")).startswith(f"agent.{field}"), (number, answer)
        wire.ping()
    agent.ping()
    assert agent.record(registered["agent_id"])["epoch"] == registered["epoch"]


IDS = [("", BAD), *((f'"id":{value},', code) for value, code in bad.REQUEST_ID)]


@pytest.mark.parametrize(("request_id", "code"), IDS, ids=range(len(IDS)))
@pytest.mark.parametrize("op", ["ping", "find", "register"])
def test_an_id_that_is_missing_or_none_is_answered_with_a_null_id(
    wire: Wire, op: str, request_id: str, code: str
) -> None:
    wire.send(f'{{"op":"{op}",{request_id}"agent":{{"name":"a","type":"cost"}}}}')
    assert_error(wire.answer(), code, "id", None)
    wire.ping()


NOT_JSON = {
    "nothing": b"",
    "blanks": b"  \n ",
    "a word": b"hello",
    "an open brace": b"{",
    "half a message": b'{"op":"ping","id":',
    "a comma too many": b'{"op":"ping","id":1,}',
    "single quotes": b"{'op':'ping','id':1}",
    "two messages in one": b'{"op":"ping","id":1}{"op":"ping","id":2}',
    "a comment": b'{"op":"ping",/* */"id":1}',
    "a raw line feed in a string": b'{"op":"ping","id":"a\nb"}',
    "a raw NUL": b'{"op":"ping","id":"\x00"}',
    "NaN": b'{"op":"heartbeat","id":1,"load":NaN}',
    "Infinity": b'{"op":"heartbeat","id":1,"load":-Infinity}',
    "NaN in metadata": b'{"op":"heartbeat","id":1,"metadata":{"k":NaN}}',
    "a number with a leading zero": b'{"op":"get","id":01}',
    "60,000 brackets": b"[" * 60_000,
    "30,000 brackets that close": b"[" * 30_000 + b"]" * 30_000,
    "12,000 objects in each other": b'{"a":' * 12_000,
    "a number of 60,000 digits": b"9" * 60_000,
    "a lone surrogate in an id": b'{"op":"ping","id":"\\ud800"}',
    "a lone surrogate in a name": b'{"op":"get","id":1,"agent_id":"\\udc00"}',
    "a lone surrogate in metadata": b'{"op":"heartbeat","id":1,"metadata":{"k":"\\ud800x"}}',
    "a lone surrogate in a key": b'{"op":"heartbeat","id":1,"metadata":{"\\udc00\\ud800":1}}',
    "an array": b'[{"op":"ping","id":1}]',
    "a string": b'"ping"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_json_object_is_a_bad_request_and_the_connection_lives(
    wire: Wire, data: bytes
) -> None:
    wire.register("not-json")
    wire.send(data)
    answer = wire.answer()
    # An id may have been readable in spite of all.
    assert_error(answer, BAD, None, answer["id"])
    assert answer["id"] in (None, 1)
    wire.ping()
    assert wire.ask("heartbeat")["op"] == "heartbeat_ack"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_deletes_no_key(wire: Wire, number: str) -> None:
    agent = wire.register("measures", metadata={"temperature": 41.5, "deep": {"a": 1}})["agent_id"]
    for op in ("heartbeat", "update"):
        for metadata in (f'{{"temperature":{number}}}', f'{{"deep":{{"a":[{number}]}}}}'):
            wire.send(f'{{"op":"{op}","id":7,"metadata":{metadata}}}')
            answer = wire.answer()
            assert_error(answer, BAD, None, answer["id"])
    record = wire.ask("get", agent_id=agent)["agent"]
    assert record["metadata"] == {"temperature": 41.5, "deep": {"a": 1}}


@pytest.mark.parametrize("where", ["id", "name", "agent_id", "surplus"])
def test_deep_nesting_is_refused_wherever_it_is(wire: Wire, where: str) -> None:
    deep = "[" * 20_000 + "]" * 20_000
    messages = {
        "id": f'{{"op":"ping","id":{deep}}}',
        "name": f'{{"op":"register","id":7,"agent":{{"name":{deep},"type":"cost"}}}}',
        "agent_id": f'{{"op":"get","id":7,"agent_id":{deep}}}',
        "surplus": f'{{"op":"ping","id":7,"surplus":{deep}}}',
    }
    wire.send(messages[where])
    answer = wire.answer()
    # What nobody reads may be skipped without being understood.
    if where != "surplus" or answer["op"] != "pong":
        assert_error(answer, BAD, None, answer["id"])
    wire.ping()


@pytest.mark.parametrize("op", ['"hello"', '""', '"PING"', '"ping "', '"registered"', '"event"'])
def test_an_unknown_op_is_answered_as_such(wire: Wire, op: str) -> None:
    wire.send(f'{{"op":{op},"id":7}}')
    assert_error(wire.answer(), "unknown_op", None, 7)
    wire.ping()


@pytest.mark.parametrize("op", ["call", "invoke", "reply"])
def test_a_reserved_op_is_not_known_yet(wire: Wire, op: str) -> None:
    wire.send({"op": op, "id": "mine", "agent_id": SOMEONE, "method": "x"})
    assert_error(wire.answer(), "unknown_op", None, "mine")
    wire.ping()


@pytest.mark.parametrize(
    "op", ["", *(f'"op":{op},' for op in ("null", "5", "true", "{}", '["ping"]'))]
)
def test_an_op_that_is_missing_or_no_string_is_a_bad_request(wire: Wire, op: str) -> None:
    wire.send(f'{{{op}"id":7,"agent_id":"x"}}')
    assert_error(wire.answer(), BAD, "op", 7)
    wire.ping()


def test_unknown_fields_are_ignored(wire: Wire) -> None:
    answer = wire.ask(
        "register", agent={"name": "future", "type": "cost", "colour": "red"}, since_when=[1]
    )
    assert answer["op"] == "registered"
    assert "colour" not in wire.record(answer["agent_id"])
    for op in ("heartbeat", "ping", "find", "unregister"):
        assert wire.ask(op, surplus={"a": [None]})["op"] != "error"
