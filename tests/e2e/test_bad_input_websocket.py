"""Whatever a program sends by mistake or malice: the contract's error, and nothing else happens."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from . import bad_values as bad
from .bad_values import BAD, BIG
from .hubs import Hub, Place, new_namespace
from .wire import ClosedError, Wire, frame

SOMEONE = "550e8400-e29b-41d4-a716-446655440000"


class Neighbour:
    """An agent and a watcher in the same namespace, who must notice nothing of it all."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.wire, registered = place.agent("neighbour", metadata={"k": 1})
        self.id = registered["agent_id"]
        self.record = self.wire.record(self.id)
        self.watcher = place.watcher({"name": "neighbour"})

    def check(self) -> None:
        ack = self.wire.ask("heartbeat")
        assert ack["op"] == "heartbeat_ack", ack
        assert ack["durable"] is True
        now = self.wire.record(self.id)
        assert now | {"last_seen": ""} == self.record | {"last_seen": ""}
        assert self.watcher.said_by_now() == []


@pytest.fixture(scope="module")
def neighbour(shared_hub: Hub) -> Iterator[Neighbour]:
    place = Place(shared_hub, new_namespace())
    yield Neighbour(place)
    place.end()


@pytest.fixture(autouse=True)
def noticed_nothing(neighbour: Neighbour) -> Iterator[None]:
    yield
    neighbour.check()


@pytest.fixture
def wire(neighbour: Neighbour) -> Iterator[Wire]:
    wire = Wire(neighbour.place.hub.url, namespace=neighbour.place.namespace)
    yield wire
    wire.drop()


def assert_error(answer: dict[str, Any], code: str, field: str | None, id: Any) -> None:
    assert answer["op"] == "error", answer
    assert answer["code"] == code, answer
    assert answer["id"] == id, answer
    assert answer["retryable"] is False, answer
    assert isinstance(answer["message"], str), answer
    assert answer["message"], answer
    assert len(answer["message"]) < 1000, "an error does not send back what it was sent"
    assert "Traceback" not in answer["message"]
    if field is not None:
        assert answer.get("field") == field, answer


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
    assert agent.record(registered["agent_id"])["epoch"] == 1


@pytest.mark.parametrize(("value", "code"), bad.REQUEST_ID, ids=range(len(bad.REQUEST_ID)))
@pytest.mark.parametrize("op", ["ping", "find", "register"])
def test_an_id_that_is_none_is_answered_with_a_null_id(
    wire: Wire, op: str, value: str, code: str
) -> None:
    wire.send(f'{{"op":"{op}","id":{value},"agent":{{"name":"a","type":"cost"}}}}')
    assert_error(wire.answer(), code, "id", None)
    wire.ping()


def test_a_request_without_an_id_is_answered_with_a_null_id(wire: Wire) -> None:
    wire.send('{"op":"ping"}')
    assert_error(wire.answer(), BAD, "id", None)
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
    "bad UTF-8": b'{"op":"ping","id":"\xff\xfe"}',
    "cut UTF-8": b'{"op":"ping","id":"\xe2\x82"}',
    "an overlong NUL": b'{"op":"ping","id":"\xc0\x80"}',
    "a surrogate in UTF-8": b'{"op":"ping","id":"\xed\xa0\x80"}',
    "a lone surrogate in an id": b'{"op":"ping","id":"\\ud800"}',
    "a lone surrogate in a name": b'{"op":"get","id":1,"agent_id":"\\udc00"}',
    "a lone surrogate in metadata": b'{"op":"heartbeat","id":1,"metadata":{"k":"\\ud800x"}}',
    "a lone surrogate in a key": b'{"op":"heartbeat","id":1,"metadata":{"\\udc00\\ud800":1}}',
    "UTF-16": '{"op":"ping","id":1}'.encode("utf-16"),
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


@pytest.mark.parametrize("op", ["null", "5", "true", "{}", '["ping"]'])
def test_an_op_that_is_no_string_is_a_bad_request(wire: Wire, op: str) -> None:
    wire.send(f'{{"op":{op},"id":7}}')
    assert_error(wire.answer(), BAD, "op", 7)
    wire.ping()


def test_a_message_without_op_is_a_bad_request(wire: Wire) -> None:
    wire.send('{"id":7,"agent_id":"x"}')
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


# -- frames -------------------------------------------------------------------------------------


def test_a_binary_frame_closes_with_4400(wire: Wire) -> None:
    wire.send_bytes(frame(2, b'{"op":"ping","id":1}'))
    assert wire.closing()[0] == 4400


def test_a_binary_frame_of_an_agent_ends_its_connection_like_any_loss(
    wire: Wire, neighbour: Neighbour
) -> None:
    registered = wire.register("binary")
    watcher = neighbour.place.watcher({"name": "binary"})
    wire.send_bytes(frame(2, b"\x00" * 100))
    assert wire.closing()[0] == 4400
    assert watcher.event("lost")["agent"]["id"] == registered["agent_id"]


def test_a_frame_of_one_mebibyte_closes_with_1009(wire: Wire) -> None:
    wire.send(b"x" * 1_048_576)
    assert wire.closing()[0] == 1009


def test_100000_brackets_are_above_the_frame_bound_and_close_with_1009(wire: Wire) -> None:
    wire.send(b"[" * 100_000)
    assert wire.closing()[0] == 1009


def test_100000_brackets_within_a_wider_bound_are_a_bad_request(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://", "--max-frame-bytes", "1048576")
    wire = enter(hub).connect()
    for data in (b"[" * 100_000, b'{"op":' + b"[" * 100_000, b"9" * 1_000_000):
        wire.send(data)
        assert_error(wire.answer(), BAD, None, None)
        wire.ping()


def test_the_largest_frame_is_64_kibibytes(wire: Wire) -> None:
    message = b'{"op":"ping","id":1}'
    wire.send(message + b" " * (65_536 - len(message)))
    assert wire.answer()["op"] == "pong"
    wire.send(message + b" " * (65_537 - len(message)))
    assert wire.closing()[0] == 1009


def test_fragments_are_put_together_and_bounded_together(wire: Wire) -> None:
    wire.send_bytes(
        frame(1, b'{"op":"pi', fin=False)
        + frame(9, b"a ping in between")
        + frame(0, b'ng","i', fin=False)
        + frame(0, b'd":1}')
    )
    assert wire.answer()["op"] == "pong"
    wire.send_bytes(frame(1, b" " * 40_000, fin=False))
    wire.send_bytes(frame(0, b" " * 40_000, fin=True))
    assert wire.closing()[0] == 1009


BROKEN_FRAMES = {
    "not masked": frame(1, b"{}", masked=False),
    "a reserved bit, as compression sets": frame(1, b"{}", reserved=4),
    "a reserved opcode": frame(3, b"{}"),
    "a reserved control opcode": frame(0xB, b""),
    "a fragmented ping": frame(9, b"", fin=False),
    "a ping of 126 bytes": frame(9, b"x" * 126),
    "a continuation of nothing": frame(0, b"{}"),
    "a new message inside another": frame(1, b"{", fin=False) + frame(1, b"}"),
    "a close frame of one byte": frame(8, b"x"),
}


@pytest.mark.parametrize("data", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
def test_what_is_no_websocket_frame_closes_with_1002(wire: Wire, data: bytes) -> None:
    """RFC 6455: a protocol error of the websocket itself, below the contract's messages."""
    wire.send_bytes(data)
    assert wire.closing()[0] == 1002


def test_a_close_frame_with_a_forbidden_code_or_bad_text_ends_the_connection(
    neighbour: Neighbour,
) -> None:
    for payload in (struct.pack("!H", 1005), struct.pack("!H", 999), b"\x03\xe8\xff\xfe"):
        wire = neighbour.place.connect()
        wire.send_bytes(frame(8, payload))
        assert wire.closing()[0] in (1002, 1007)


def test_half_a_frame_and_then_silence_harms_nobody(neighbour: Neighbour) -> None:
    wires = [neighbour.place.connect() for _ in range(20)]
    for wire in wires:
        wire.send_bytes(frame(1, b"x" * 1000)[:500])
    neighbour.check()
    for wire in wires:
        wire.reset()


FLOODS = {
    "messages": frame(1, b'{"op":"ping","id":1}'),
    "pings": frame(9, b""),
    "pongs": frame(10, b""),
    "empty fragments": frame(0, b"", fin=False),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_held_up_or_closed_with_4429_and_the_others_go_on(
    shared_hub: Hub, neighbour: Neighbour, name: str
) -> None:
    """20,000 frames in one go; what is above the bound is refused, and nobody else waits for it."""
    wire = neighbour.place.connect()
    if name == "empty fragments":
        wire.send_bytes(frame(1, b"", fin=False))
    for _ in range(20):
        wire.send_bytes(FLOODS[name] * 1_000)
        began = time.monotonic()
        neighbour.wire.ping()
        assert time.monotonic() - began < 2
    wire.listen(0.1)
    if wire.closed_at is None and name != "empty fragments":
        wire.drain()
        wire.ping()
    elif wire.closed_at is not None:
        assert wire.closing()[0] == 4429


# -- ten in a row -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"hello", b'{"op":"nonsense","id":1}', b'{"op":"get","id":1}'])
def test_ten_malformed_messages_in_a_row_close_with_4400(wire: Wire, data: bytes) -> None:
    for _ in range(9):
        wire.send(data)
        assert wire.answer()["op"] == "error"
    wire.send(data)
    with pytest.raises(ClosedError) as closed:  # noqa: PT012 - the tenth may be answered first
        wire.answer()
        wire.answer()
    assert closed.value.code == 4400


def test_one_good_message_among_nine_bad_ones_starts_the_count_anew(wire: Wire) -> None:
    for _ in range(4):
        for _ in range(9):
            wire.send(b"hello")
            assert wire.answer()["op"] == "error"
        wire.ping()


def test_refused_but_well_formed_requests_never_close_the_connection(wire: Wire) -> None:
    for _ in range(25):
        assert wire.ask("heartbeat")["code"] == "not_registered"
        assert wire.ask("get", agent_id=SOMEONE)["code"] == "not_found"
    wire.ping()


# -- out of turn --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["heartbeat", "update", "unregister"])
def test_before_registering_there_is_nothing_to_keep_alive(wire: Wire, op: str) -> None:
    wire.send({"op": op, "id": 7})
    assert_error(wire.answer(), "not_registered", None, 7)
    wire.ping()
    assert wire.register("late")["op"] == "registered"


def test_registering_twice_is_refused_and_the_first_stays(wire: Wire) -> None:
    first = wire.register("twice")
    wire.send({"op": "register", "id": 7, "agent": {"name": "second", "type": "cost"}})
    assert_error(wire.answer(), "already_registered", None, 7)
    same = {"name": "second", "type": "cost"}
    wire.send({"op": "register", "id": 8, "agent": same, "agent_id": first["agent_id"]})
    assert_error(wire.answer(), "already_registered", None, 8)
    assert wire.ask("heartbeat")["op"] == "heartbeat_ack"
    assert wire.record(first["agent_id"])["name"] == "twice"


def test_two_registrations_sent_at_once_are_answered_in_order(wire: Wire) -> None:
    for number in (1, 2):
        wire.send({"op": "register", "id": number, "agent": {"name": "at-once", "type": "cost"}})
    assert wire.answer()["op"] == "registered"
    assert_error(wire.answer(), "already_registered", None, 2)
    assert wire.ask("find", filter={"name": "at-once"})["count"] == 1


def test_resuming_on_a_connection_that_has_an_agent_is_refused(
    wire: Wire, neighbour: Neighbour
) -> None:
    other, registered = neighbour.place.agent("other")
    wire.register("mine")
    answer = wire.ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["code"] == "already_registered", answer
    other.ping()
    wire.ping()


@pytest.mark.parametrize("token", ["", "x", "0" * 256, "🔑", None])
def test_a_wrong_session_token_is_unauthorized_and_fences_nobody(
    wire: Wire, neighbour: Neighbour, token: str | None
) -> None:
    _, registered = neighbour.place.agent("thief")
    answer = wire.ask(
        "resume",
        agent_id=neighbour.id,
        # None: the token of another agent, good in itself.
        session_token=registered["session_token"] if token is None else token,
    )
    assert_error(answer, "unauthorized", None, answer["id"])
    assert str(registered["session_token"]) not in answer["message"]
    wire.ping()


def test_the_token_of_an_agent_in_another_namespace_finds_no_agent(
    wire: Wire, place: Place
) -> None:
    _, registered = place.agent("elsewhere")
    answer = wire.ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["code"] == "not_found", answer
    wire.ping()


def test_the_session_token_is_told_to_nobody_else(wire: Wire, neighbour: Neighbour) -> None:
    registered = wire.register("secretive")
    other = neighbour.place.connect()
    everything = json.dumps([other.ask("find"), other.record(registered["agent_id"])])
    everything += neighbour.place.get("/agents").text
    assert registered["session_token"] not in everything


def test_an_unknown_watch_is_not_found(wire: Wire) -> None:
    assert wire.ask("unwatch", watch=12345)["code"] in ("not_found", BAD)
    wire.ping()


def test_a_stranger_to_the_log_gets_a_snapshot_and_no_error(wire: Wire) -> None:
    assert wire.watch(since=5, log="no such log")["resumed"] is False
    assert wire.snapshot()
    assert wire.watch(since=2**62, log="")["resumed"] is False


# -- metadata that grows ------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["heartbeat", "update"])
def test_metadata_may_not_grow_past_its_bound_by_merging(wire: Wire, op: str) -> None:
    registered = wire.register("growing", metadata={"a": "x" * 9_000})
    before = wire.record(registered["agent_id"])
    answer = wire.ask(op, metadata={"b": "x" * 9_000}, load=1.0)
    assert_error(answer, BIG, "metadata", answer["id"])
    after = wire.record(registered["agent_id"])
    assert after["metadata"] == before["metadata"]
    assert after.get("load") is None, "a refused request changes nothing"
    assert wire.ask(op, metadata={"a": None, "b": "x" * 9_000})["op"] != "error"
    assert list(wire.record(registered["agent_id"])["metadata"]) == ["b"]


def test_metadata_of_exactly_16_kibibytes_fits_and_one_byte_more_does_not(wire: Wire) -> None:
    fits = {"k": "x" * (16_384 - len('{"k":""}'))}
    registered = wire.register("full", metadata=fits)
    assert wire.record(registered["agent_id"])["metadata"] == fits
    answer = wire.ask("heartbeat", metadata={"k": fits["k"] + "x"})
    assert_error(answer, BIG, "metadata", answer["id"])


def test_a_resume_may_not_grow_metadata_past_its_bound(wire: Wire, neighbour: Neighbour) -> None:
    agent, registered = neighbour.place.agent("growing", metadata={"a": "x" * 9_000})
    answer = wire.ask(
        "resume",
        agent_id=registered["agent_id"],
        session_token=registered["session_token"],
        agent={"metadata": {"b": "x" * 9_000}},
    )
    assert_error(answer, BIG, "agent.metadata", answer["id"])
    assert agent.ask("heartbeat")["op"] == "heartbeat_ack", "a refused resume fences nobody"


# -- what fits ----------------------------------------------------------------------------------


def test_everything_at_its_bound_is_accepted_and_kept(wire: Wire) -> None:
    spec = {
        "name": "é" * 128,
        "type": "x" * 64,
        "host": "h" * 255,
        "port": 65535,
        "capabilities": ["c" * 128, *(f"c{n}" for n in range(255))],
        "version": "v" * 64,
        "metadata": {"k": {"deep": [1, 2.5, None, True, "é", "\u0000"]}, "big": 2**63},
        "status": "degraded",
        "load": 0,
    }
    registered = wire.ask("register", agent=spec)
    assert registered["op"] == "registered", registered
    record = wire.record(registered["agent_id"])
    assert {key: record[key] for key in spec} == spec


def test_names_that_look_like_code_are_only_names(wire: Wire, neighbour: Neighbour) -> None:
    name = '"}\\ {{${jndi}} <script> %s %00 \u202e 🤖 agent:* KEYS'
    registered = wire.register(name, metadata={"__proto__": 1, "": 2, "a.b": 3, "id": "x"})
    record = wire.record(registered["agent_id"])
    assert record["name"] == name
    assert record["metadata"] == {"__proto__": 1, "": 2, "a.b": 3, "id": "x"}
    assert wire.ask("find", filter={"name": name})["count"] == 1
    assert neighbour.place.record(registered["agent_id"]) == record


def test_a_malformed_message_in_the_middle_of_many_is_answered_in_its_place(wire: Wire) -> None:
    wire.send('{"op":"ping","id":1}')
    wire.send('{"op":"get","id":2}')
    wire.send("nonsense")
    wire.send('{"op":"find","id":4,"filter":{"type":"none"}}')
    wire.send('{"op":"ping","id":5}')
    ids = [wire.answer()["id"] for _ in range(5)]
    assert ids == [1, 2, None, 4, 5]
