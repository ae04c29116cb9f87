"""Decoding frames and bodies from untrusted peers."""

from __future__ import annotations

from contextlib import suppress
from time import thread_time

import msgspec
import pytest
from msgspec import UNSET

from homeport_protocol.answers import Agents, Error, Pong
from homeport_protocol.codec import (
    convert,
    decode_json,
    decode_message,
    decode_request,
    encode,
    error_answer,
)
from homeport_protocol.errors import ERROR_CODES, FAILURES, ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.http import LegacyHeartbeat
from homeport_protocol.namespaces import is_namespace
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import RESERVED_OPS, Heartbeat, Register

HEARTBEAT = msgspec.json.Decoder(LegacyHeartbeat)


def refused(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_request(data)
    return caught.value


def refused_body(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_json(data, LegacyHeartbeat, HEARTBEAT)
    return caught.value


NOT_JSON = [
    pytest.param(b"", id="nothing"),
    pytest.param(b" ", id="a space"),
    pytest.param(b"hello", id="a word"),
    pytest.param(b"{", id="an open brace"),
    pytest.param(b"{'op':'ping'}", id="single quotes"),
    pytest.param(b'{"op":"ping","id":1,}', id="a trailing comma"),
    pytest.param(b'{"op":"ping","id":1}{"op":"ping","id":2}', id="two objects"),
    pytest.param(b'{"op":"ping","id":1}\x00', id="a zero byte after"),
    pytest.param(b'{"op":"ping","id":NaN}', id="NaN"),
    pytest.param(b'{"op":"ping","id":1,"x":Infinity}', id="infinity"),
    pytest.param(b'{"op":"ping","id":1,"x":-}', id="a lone minus"),
    pytest.param(b'{"op":"ping","id":01}', id="a leading zero"),
    pytest.param(b'\xef\xbb\xbf{"op":"ping","id":1}', id="a byte order mark"),
    pytest.param('{"op":"ping","id":1}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"op":"ping","id":"\\ud800"}', id="half a surrogate pair"),
    pytest.param(b'{"op":"ping","id":"\\udc00\\ud800"}', id="a pair turned round"),
    pytest.param(b'{"op":"ping","id":"\xff"}', id="bad UTF-8 in a string"),
    pytest.param(b'{"op":"ping","id":"\xed\xa0\x80"}', id="a surrogate as UTF-8"),
    pytest.param(b'{"op":"ping","id":"\xc0\x80"}', id="overlong UTF-8"),
    pytest.param(b'{"op":"heartbeat","id":1,"metadata":{"\xff":1}}', id="bad UTF-8 in a key"),
    pytest.param(b'{"op":"heartbeat","id":1,"metadata":{"a":NaN}}', id="NaN in metadata"),
    pytest.param(b'{"op":"register","id":1,"agent":' + b"[" * 60_000, id="deep arrays in a field"),
    pytest.param(b'{"op":"ping","id":1,"x":' + b"[" * 60_000, id="deep arrays, ignored"),
    pytest.param(b'{"op":"ping","id":1,"x":' + b'{"a":' * 12_000, id="deep objects, ignored"),
    pytest.param(b'{"op":"heartbeat","id":1,"metadata":{"a":' + b"[" * 60_000, id="deep metadata"),
]


@pytest.mark.parametrize("data", NOT_JSON)
def test_a_frame_that_is_no_json_is_a_bad_request_without_id(data: bytes) -> None:
    error = refused(data)
    assert (error.code, error.request_id) == ("bad_request", None)
    assert error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize(
    "rest",
    [
        b'"metadata":{"a":"\xff"}}',
        b'"metadata":{"a":"\\ud800"}}',
        b'"metadata":{"a":NaN}}',
        b'"metadata":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
        b'"load":01}',
        b'"agent":{"\xff":null}}',
        b'"\xff":null}',
        b'"x":' + b"[" * 60_000,
        b'"x":{}',
    ],
)
def test_what_is_no_json_behind_a_null_is_refused(rest: bytes) -> None:
    error = refused(b'{"op":"heartbeat","id":1,"status":null,%s' % rest)
    assert error.code == "bad_request"
    assert error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"x" * 100_000])
def test_a_hundred_thousand_brackets_are_refused_and_nothing_breaks(data: bytes) -> None:
    assert refused(data).code == "bad_request"
    assert refused_body(data).code == "bad_request"
    assert decode_request(b'{"op":"ping","id":1}').id == 1


@pytest.mark.parametrize(
    "data", [b"null", b"true", b"1", b'"ping"', b"[]", b'[{"op":"ping","id":1}]']
)
def test_json_that_is_no_object_is_a_bad_request(data: bytes) -> None:
    error = refused(data)
    assert (error.code, error.field) == ("bad_request", None)
    assert "object" in error.message


@pytest.mark.parametrize("digits", [20, 400, 4000, 4400, 60_000])
@pytest.mark.parametrize(
    ("template", "field"),
    [
        (b'{"op":"ping","id":%s}', "id"),
        (b'{"op":"unwatch","id":1,"watch":%s}', "watch"),
        (b'{"op":"find","id":1,"limit":%s}', "limit"),
        (b'{"op":"watch","id":1,"since":%s,"log":"l"}', "since"),
        (b'{"op":"update","id":1,"port":%s}', "port"),
    ],
)
def test_a_number_of_thousands_of_digits_is_refused_naming_the_field(
    template: bytes, field: str, digits: int
) -> None:
    error = refused(template % (b"9" * digits))
    assert (error.code, error.field) == ("bad_request", field)
    assert len(error.message) < 1000


@pytest.mark.parametrize("number", [b"9" * 400, b"9" * 4000, b"1e309", b"1e999999999"])
def test_a_load_beyond_any_float_is_refused(number: bytes) -> None:
    error = refused(b'{"op":"heartbeat","id":1,"load":%s}' % number)
    assert (error.code, error.field) == ("bad_request", "load")


def test_a_number_beyond_any_float_in_metadata_is_refused() -> None:
    error = refused(b'{"op":"heartbeat","id":1,"metadata":{"a":1e999}}')
    assert (error.code, error.field) == ("bad_request", "metadata")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_encoders_write_for_no_number_is_named(word: str) -> None:
    for message in ('{"metadata":{"a":%s}}', '{"a":[1, %s]}'):
        assert refused((message % word).encode()).message.endswith(
            "JSON has no NaN and no Infinity"
        )
    assert "NaN" not in refused(b'{"name":"NaN",}').message


@pytest.mark.parametrize("data", [b"{}", b'{"id":3}', b'{"op":null,"id":3}', b'{"op":1,"id":3}'])
def test_a_message_without_an_op_is_a_bad_request_that_names_op(data: bytes) -> None:
    error = refused(data)
    assert (error.code, error.field) == ("bad_request", "op")
    assert error.request_id == (None if data == b"{}" else 3)


@pytest.mark.parametrize("op", ["", "nope", "PING", "registered", *RESERVED_OPS])
def test_an_unknown_op_is_told_with_the_id(op: str) -> None:
    error = refused(encode({"op": op, "id": "mine"}))
    assert (error.code, error.field, error.request_id) == ("unknown_op", "op", "mine")
    assert ("reserved" in error.message) == (op in RESERVED_OPS)


def test_a_long_unknown_op_is_not_repeated_in_full() -> None:
    assert len(refused(encode({"op": "x" * 60_000, "id": 1})).message) < 200


def test_of_duplicate_keys_the_last_counts() -> None:
    assert decode_request(b'{"op":"ping","id":1,"id":2}').id == 2


def test_the_order_of_fields_does_not_matter() -> None:
    decoded = decode_request(b'{"agent":{"type":"cost","name":"a"},"id":1,"op":"register"}')
    assert isinstance(decoded, Register)
    assert decoded.agent == AgentSpec(name="a", type="cost")


def test_the_field_to_blame_has_no_array_index() -> None:
    error = refused(b'{"op":"update","id":1,"capabilities":["a","b",""]}')
    assert error.field == "capabilities"


def test_a_body_is_refused_as_a_frame_is() -> None:
    assert refused_body(b"{").code == "bad_request"
    assert refused_body(b'{"status":"\xff"}').message == "not valid UTF-8"
    assert refused_body(b'{"status":"dead"}').field == "status"
    assert refused_body(b'{"metadata":' + b"[" * 60_000).code == "bad_request"
    assert "nested too deeply" in refused_body(b'{"metadata":{"a":' + b"[" * 60_000).message


def test_plain_values_are_converted_with_the_same_errors() -> None:
    assert convert({"type": "cost"}, Filter) == Filter(type="cost")
    with pytest.raises(ProtocolError) as caught:
        convert({"name": "", "type": "x"}, AgentSpec, "agent.")
    assert caught.value.field == "agent.name"
    assert caught.value.message.startswith("agent.name: ")
    with pytest.raises(ProtocolError) as caught:
        convert({"type": "x"}, AgentSpec, "agent.")
    assert caught.value.field == "agent.name"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ({"name": ""}, "name: expected text of at least 1 character"),
        ({"name": "x" * 129}, "name: expected text of at most 128 characters"),
        ({"name": 5}, "name: expected text, got a whole number"),
        ({"name": None}, "name: expected text, got null"),
        ({"port": "x"}, "port: expected a whole number, got text"),
        ({"load": True}, "load: expected a number, got true or false"),
        ({"load": "x"}, "load: expected a number, got text"),
        ({"capabilities": {}}, "capabilities: expected an array, got an object"),
    ],
)
def test_types_are_named_as_in_json_and_not_as_in_python(
    agent: dict[str, object], words: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        convert({"name": "x", "type": "x"} | agent, AgentSpec)
    assert caught.value.message == words


def test_a_field_of_the_senders_keeps_its_name() -> None:
    data = b'{"op":"find","id":1,"filter":{"expected `str`, got `int`":1}}'
    with pytest.raises(ProtocolError) as caught:
        decode_request(data)
    assert caught.value.message.endswith("unknown field `expected `str`, got `int``")


def test_a_wrong_plain_value_as_a_whole_has_no_field_of_its_own() -> None:
    with pytest.raises(ProtocolError) as caught:
        convert(5, Filter)
    assert caught.value.field is None
    with pytest.raises(ProtocolError) as caught:
        convert(5, AgentSpec, "agent.")
    assert caught.value.field == "agent"


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_failure_has_a_wire_form_from_the_one_table(code: str) -> None:
    error = ProtocolError(code, "words", field="agent.name")  # type: ignore[arg-type]
    answer = error_answer(error, 7)
    failure = FAILURES[code]  # type: ignore[index]
    assert answer == Error(
        id=7,
        code=code,  # type: ignore[arg-type]
        message="words",
        retryable=failure.retryable,
        retry_after=UNSET if failure.retry_after is None else failure.retry_after,
        field="agent.name",
    )
    assert decode_message(encode(answer)) == answer


def test_an_error_that_knows_when_to_ask_again_is_retryable() -> None:
    answer = error_answer(ProtocolError("conflict", "words", retry_after=4.0), 7)
    assert (answer.retryable, answer.retry_after) == (True, 4.0)


def test_an_error_without_id_or_field_says_null_and_leaves_the_field_out() -> None:
    answer = error_answer(ProtocolError("bad_request", "words"), None)
    assert encode(answer) == (
        b'{"op":"error","id":null,"code":"bad_request","message":"words","retryable":false}'
    )


def test_every_failure_has_an_http_status_of_an_error() -> None:
    assert set(FAILURES) == set(ERROR_CODES)
    assert all(400 <= failure.http_status <= 599 for failure in FAILURES.values())


def test_records_are_spliced_into_answers_as_the_bytes_they_are() -> None:
    answer = Agents(id=1, agents=[msgspec.Raw(b'{"id":"x"}')], count=1, log="l", revision=2)
    assert encode(answer) == (
        b'{"op":"agents","id":1,"agents":[{"id":"x"}],"count":1,"log":"l","revision":2}'
    )


def test_a_client_ignores_fields_it_does_not_know() -> None:
    assert decode_message(b'{"op":"pong","id":1,"new":{"a":1}}') == Pong(id=1)


@pytest.mark.parametrize("name", ["default", "a", "A.b_c-1", "x" * 63, "0"])
def test_a_namespace_is_a_short_slug(name: str) -> None:
    assert is_namespace(name)


@pytest.mark.parametrize("name", ["", "x" * 64, ".a", "-a", "a b", "a/b", "{a}", "a:b", "a\n", "é"])
def test_a_namespace_holds_nothing_that_means_something_to_redis(name: str) -> None:
    assert not is_namespace(name)


# --- numbers that a decoder takes long for -------------------------------------------------------


def quickest(data: bytes) -> float:
    """Seconds of CPU that the message takes to be decoded or refused; the least of several."""
    taken = []
    for _ in range(20):
        began = thread_time()
        with suppress(ProtocolError):
            decode_request(data)
        taken.append(thread_time() - began)
    return min(taken)


@pytest.mark.parametrize("number", [b"1e308", b"1.5e300", b"1.5e-300", b"4.9e-324", b"0.1"])
@pytest.mark.parametrize(
    ("head", "item", "tail"),
    [
        pytest.param(b'"filter":{"metadata":{"x":[0', b",%b", b"]}}", id="in a list"),
        pytest.param(b'"y":0', b',"load":%b', b"", id="as one field again and again"),
        pytest.param(b'"y":[0', b",%b", b"]", id="in an unknown field"),
    ],
)
@pytest.mark.parametrize("op", [b"find", b"heartbeat"])
def test_no_message_of_numbers_takes_long(
    op: bytes, head: bytes, item: bytes, tail: bytes, number: bytes
) -> None:
    """The longest message takes less than the 10 ms that no request may hold the loop for."""
    each = item % number
    repeated = each * ((64 * 1024 - 100) // len(each))
    data = b'{"op":"%b","id":1,%b%b%b}' % (op, head, repeated, tail)

    assert quickest(data) < 0.010


def test_numbers_are_the_same_in_small_and_large_messages() -> None:
    numbers = [1e308, -1.5e300, 5e-324, 0.1, 1e23, 7, 2**63 - 1, 0.0]
    small = {"op": "heartbeat", "id": 1, "load": 1e22, "metadata": {"x": numbers}}
    large = {**small, "ignored": "x" * 5000}

    for message in (small, large):
        request = decode_request(encode(message))
        assert isinstance(request, Heartbeat)
        assert request.load == 1e22
        assert request.metadata == {"x": numbers}
        assert [type(each) for each in request.metadata["x"]] == [type(each) for each in numbers]


@pytest.mark.parametrize("ignored", [b"", b"x" * 5000], ids=["small", "large"])
def test_a_number_beyond_a_float_is_refused(ignored: bytes) -> None:
    error = refused(b'{"op":"heartbeat","id":1,"y":"%b","metadata":{"x":1e999}}' % ignored)
    assert (error.code, "out of range" in error.message) == ("bad_request", True)


def test_metadata_may_be_full_of_numbers_with_an_exponent() -> None:
    numbers = b",".join([b"1e9"] * 4096)  # 16 KiB
    assert decode_request(b'{"op":"heartbeat","id":1,"metadata":{"x":[%b]}}' % numbers)
    error = refused(b'{"op":"heartbeat","id":1,"metadata":{"x":[%b,1e9]}}' % numbers)
    assert error.code == "bad_request"
    assert "more than 4096 numbers with an exponent" in error.message


def test_a_large_body_of_numbers_is_read_like_a_message() -> None:
    body = b'{"metadata":{"x":[%b]}}' % b",".join([b"1e308"] * 10_000)
    assert "numbers with an exponent" in refused_body(body).message
