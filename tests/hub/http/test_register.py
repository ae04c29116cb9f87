"""POST /agents/register: what the legacy service took is taken, all else is refused plainly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import UNSET
from structlog.testing import capture_logs

from actors.timing import Timing
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec
from hub.http.app import App
from tests.hub.http.asgi import call
from tests.hub.http.conftest import Ask
from tests.hub.http.fakes import AGENT_ID, NOW, FakeHub

GOOD: dict[str, Any] = {"name": "cost-1", "type": "cost", "host": "localhost", "port": 8001}


def body(**changes: Any) -> bytes:
    fields = {**GOOD, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode()


async def registered_spec(hub: FakeHub, ask: Ask, sent: bytes) -> AgentSpec:
    answer = await ask("POST", "/agents/register", sent)
    assert answer.status == 201, answer.body
    (operation, spec, _) = hub.default.asked[-1]
    assert operation == "register"
    assert isinstance(spec, AgentSpec)
    return spec


async def test_a_registration_answers_201_with_the_documented_body(hub: FakeHub, ask: Ask) -> None:
    answer = await ask("POST", "/agents/register", body())
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == (
        b'{"agent_id":"%(id)s","registered_at":"%(now)s",'
        b'"heartbeat_url":"/agents/%(id)s/heartbeat","heartbeat_interval_seconds":30,'
        b'"session_token":"secret"}' % {b"id": AGENT_ID.encode(), b"now": NOW.encode()}
    )


@pytest.mark.parametrize(("sent", "meant"), [(True, True), (False, False), (None, False)])
async def test_it_may_be_exclusive(hub: FakeHub, ask: Ask, sent: bool | None, meant: bool) -> None:
    assert (await ask("POST", "/agents/register", body(exclusive=sent))).status == 201
    assert (await ask("POST", "/agents/register", body())).status == 201
    assert hub.default.exclusive == [meant, False]


@pytest.mark.parametrize(("wait", "header"), [(None, None), (2.0, "2"), (30.0, "30")])
async def test_an_id_that_another_session_has_is_409_with_when_to_try_again(
    hub: FakeHub, ask: Ask, wait: float | None, header: str | None
) -> None:
    hub.default.fault = ProtocolError("conflict", "another living session", retry_after=wait)
    answer = await ask("POST", "/agents/register", body(agent_id=AGENT_ID))
    assert (answer.status, answer.json()) == (409, {"error": "another living session"})
    assert answer.headers.get("retry-after") == header


async def test_an_interval_that_is_no_whole_second_is_told_as_a_fraction(
    hub: FakeHub, ask: Ask
) -> None:
    hub.default.timing = Timing(heartbeat_interval=0.3)
    answer = await ask("POST", "/agents/register", body())
    assert answer.json()["heartbeat_interval_seconds"] == 0.3


async def test_every_field_reaches_the_brain(hub: FakeHub, ask: Ask) -> None:
    sent = body(
        capabilities=["a", "b"],
        version="1.2",
        metadata={"zone": "eu"},
        status="degraded",
        load=0.5,
    )
    assert await registered_spec(hub, ask, sent) == AgentSpec(
        name="cost-1",
        type="cost",
        host="localhost",
        port=8001,
        capabilities=["a", "b"],
        version="1.2",
        metadata={"zone": "eu"},
        status="degraded",
        load=0.5,
    )


async def test_the_documented_example_registers_with_host_and_port_in_one(
    hub: FakeHub, ask: Ask
) -> None:
    sent = b"""{
      "name": "cost-agent-1",
      "type": "cost",
      "capabilities": ["spot_migration", "reserved_instances"],
      "host": "cost-agent:8001",
      "status": "healthy"
    }"""
    spec = await registered_spec(hub, ask, sent)
    assert (spec.host, spec.port) == ("cost-agent", 8001)
    assert spec.capabilities == ["spot_migration", "reserved_instances"]


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("cost-agent:8001", 9, ("cost-agent:8001", 9)),
        ("cost-agent:8001", None, ("cost-agent", 8001)),
        ("[::1]:80", ..., ("::1", 80)),
        ("::1", 80, ("::1", 80)),
        ("a:0", ..., ("a", 0)),
        ("a:65535", ..., ("a", 65535)),
        ("a", 0, ("a", 0)),
    ],
)
async def test_a_port_in_the_host_stands_only_where_port_is_absent(
    hub: FakeHub, ask: Ask, host: str, port: Any, expected: tuple[str, int]
) -> None:
    spec = await registered_spec(hub, ask, body(host=host, port=port))
    assert (spec.host, spec.port) == expected


@pytest.mark.parametrize("host", ["a", ":80", "a:", "a:x", "a:65536", "a:123456", "::1", "a:1:2"])
async def test_without_a_port_anywhere_the_port_is_named(ask: Ask, host: str) -> None:
    answer = await ask("POST", "/agents/register", body(host=host, port=...))
    assert answer.status == 400
    assert answer.error.startswith("port: missing")


async def test_nulls_an_empty_status_and_unknown_fields_pass_as_the_legacy_let_them(
    hub: FakeHub, ask: Ask
) -> None:
    sent = body(
        capabilities=None,
        metadata=None,
        version=None,
        load=None,
        status="",
        agent_id=None,
        color="blue",
    )
    assert await registered_spec(hub, ask, sent) == AgentSpec(
        name="cost-1", type="cost", host="localhost", port=8001
    )
    assert hub.default.asked[-1][2] is None


async def test_names_of_fields_count_in_any_case_as_the_legacy_took_them(
    hub: FakeHub, ask: Ask
) -> None:
    sent = b'{"Name": "Cost-1", "TYPE": "cost", "Host": "A", "pORT": 1, "metadata": {"Zone": "B"}}'
    assert await registered_spec(hub, ask, sent) == AgentSpec(
        name="Cost-1", type="cost", host="A", port=1, metadata={"Zone": "B"}
    )


async def test_an_agent_may_bring_its_own_identity(hub: FakeHub, ask: Ask) -> None:
    own = "123e4567-e89b-42d3-a456-426614174000"
    answer = await ask("POST", "/agents/register", body(agent_id=own))
    assert answer.json()["agent_id"] == own
    assert hub.default.asked[-1][2] == own


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("name", "type", "host", "port") for value in (..., None)),
        ("name", ""),
        ("name", "x" * 129),
        ("name", "a\u0007"),
        ("name", "a\n"),
        ("name", 3),
        ("type", ""),
        ("type", "x" * 65),
        ("type", "a\nb"),
        ("type", ["cost"]),
        ("host", ""),
        ("host", "x" * 256),
        ("host", {}),
        ("port", -1),
        ("port", 65536),
        ("port", 80.5),
        ("port", "80"),
        ("port", True),
        ("capabilities", "a"),
        ("capabilities", ["x" * 129]),
        ("capabilities", [1]),
        ("capabilities", [str(number) for number in range(257)]),
        ("version", "x" * 65),
        ("version", 1.2),
        ("metadata", []),
        ("metadata", "x"),
        ("load", -0.1),
        ("load", "low"),
        ("agent_id", "one"),
        ("agent_id", ""),
        ("agent_id", AGENT_ID + "\n"),
    ],
)
async def test_a_field_that_is_missing_or_out_of_bounds_is_named(
    hub: FakeHub, ask: Ask, field: str, value: Any
) -> None:
    answer = await ask("POST", "/agents/register", body(**{field: value}))
    assert answer.status == 400
    assert answer.error.startswith(f"{field}: ")
    assert hub.default.asked == []


@pytest.mark.parametrize("status", ["fine", "Healthy", 1, [], {"a": 1}, True])
async def test_a_status_that_is_none_is_ignored_as_the_legacy_ignored_all(
    hub: FakeHub, ask: Ask, status: Any
) -> None:
    assert (await registered_spec(hub, ask, body(status=status))).status == "healthy"


async def test_empty_blank_and_null_capabilities_are_dropped(hub: FakeHub, ask: Ask) -> None:
    sent = body(capabilities=["", "a", None, "b", "", " "])
    assert (await registered_spec(hub, ask, sent)).capabilities == ["a", "b"]


@pytest.mark.parametrize("type_", ["not a slug", "übermäßig/1", "-", "x" * 64])
async def test_any_type_is_taken(hub: FakeHub, ask: Ask, type_: str) -> None:
    assert (await registered_spec(hub, ask, body(type=type_))).type == type_


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\t"])
@pytest.mark.parametrize("behind", [b"", b" \r\n\t"])
async def test_white_space_and_a_byte_order_mark_do_not_matter(
    ask: Ask, before: bytes, behind: bytes
) -> None:
    answer = await ask("POST", "/agents/register", before + body() + behind)
    assert answer.status == 201


@pytest.mark.parametrize(
    "sent",
    [
        b'{"n\\u0061me":"a","t\\u0059pe":"cost","HO\\u017fT":"h","port":1}',
        '{"NAME":"x","name":"a","Type":"cost","ho\u017ft":"h","port":1}'.encode(),
    ],
)
async def test_names_of_fields_are_compared_as_go_compares_them(
    hub: FakeHub, ask: Ask, sent: bytes
) -> None:
    spec = await registered_spec(hub, ask, sent)
    assert (spec.name, spec.type, spec.host) == ("a", "cost", "h")


@pytest.mark.parametrize("number", [2**64, -(2**80), 10**300])
async def test_an_integer_beyond_64_bits_is_kept_digit_by_digit(
    hub: FakeHub, ask: Ask, number: int
) -> None:
    spec = await registered_spec(hub, ask, body(metadata={"n": number}))
    assert spec.metadata == {"n": number}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"name": "a"} trailing',
        b"name=a&type=b",
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800", "type": "cost", "host": "a", "port": 1}',
        b'{"load": NaN}',
        b"[" * 60_000,
        b'{"metadata":' + b"[" * 60_000,
        b'{"name":"a","type":"b","host":"c","port":' + b"9" * 4000 + b"}",
        b'{"name":"a","type":"b","host":"c","port":1,"load":1e999}',
    ],
)
async def test_a_body_that_is_no_registration_answers_400(
    hub: FakeHub, ask: Ask, sent: bytes
) -> None:
    answer = await ask("POST", "/agents/register", sent)
    assert answer.status == 400
    assert answer.error
    assert hub.default.asked == []


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json", "image/png"])
async def test_the_content_type_is_not_looked_at(ask: Ask, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await ask("POST", "/agents/register", body(), headers=headers)
    assert answer.status == 201


async def test_a_body_in_chunks_is_put_together(ask: Ask) -> None:
    sent = body()
    answer = await ask("POST", "/agents/register", [sent[:5], b"", sent[5:]])
    assert answer.status == 201


async def test_a_body_of_64_kib_is_read_and_a_byte_more_is_413(ask: Ask) -> None:
    sent = body()
    fitting = sent + b" " * (64 * 1024 - len(sent))
    assert (await ask("POST", "/agents/register", fitting)).status == 201
    answer = await ask("POST", "/agents/register", [fitting, b" "])
    assert answer.status == 413
    assert "65536" in answer.error


@pytest.mark.parametrize("length", ["65537", "9" * 5000])
async def test_a_body_announced_as_too_large_is_not_even_read(ask: Ask, length: str) -> None:
    answer = await ask("POST", "/agents/register", b"", headers={"Content-Length": length})
    assert answer.status == 413


async def test_a_caller_that_hangs_up_in_its_body_gets_no_answer_and_changes_nothing(
    hub: FakeHub,
) -> None:
    app = App(hub)
    assert await call(app, "POST", "/agents/register", b'{"name"', hang_up=True) is None
    assert hub.default.asked == []


async def test_while_redis_is_away_it_answers_503_with_retry_after(hub: FakeHub, ask: Ask) -> None:
    hub.default.fault = ProtocolError("unavailable", "Redis is away")
    answer = await ask("POST", "/agents/register", body())
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.error == "Redis is away"


async def test_metadata_past_its_bound_is_400(hub: FakeHub, ask: Ask) -> None:
    hub.default.fault = ProtocolError(
        "too_large", "metadata would be 20000 bytes encoded", field="metadata"
    )
    answer = await ask("POST", "/agents/register", body(metadata={"x": 1}))
    assert answer.status == 400


async def test_a_fault_of_the_hub_answers_500_without_its_words_and_is_logged(
    hub: FakeHub, ask: Ask
) -> None:
    hub.default.fault = ValueError("secret detail")
    with capture_logs() as logs:
        answer = await ask("POST", "/agents/register", body())
    assert answer.status == 500
    assert answer.json() == {"error": "internal error", "outcome": "unknown"}
    assert [(log["event"], log["route"]) for log in logs] == [
        ("request_failed", "/agents/register")
    ]


async def test_a_cancelled_request_drops_the_reply_that_comes_later(hub: FakeHub) -> None:
    hub.default.hold = True
    request = asyncio.create_task(call(App(hub), "POST", "/agents/register", body()))
    for _ in range(20):
        await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    hub.default.held[0]()  # must not raise InvalidStateError


async def test_the_namespace_comes_from_the_header_or_the_query(hub: FakeHub, ask: Ask) -> None:
    blue = hub.directories["blue"]
    await ask("POST", "/agents/register", body(), headers={"Homeport-Namespace": "blue"})
    await ask("POST", "/agents/register?namespace=blue", body())
    named = {"Homeport-Namespace": "blue"}
    await ask("POST", "/agents/register?namespace=blue", body(), headers=named)
    assert len(blue.asked) == 3
    differing = await ask("POST", "/agents/register?namespace=default", body(), headers=named)
    assert differing.status == 400
    assert len(blue.asked) == 3
    assert hub.default.asked == []


async def test_a_namespace_that_is_no_name_is_400(ask: Ask) -> None:
    answer = await ask("POST", "/agents/register?namespace=%2F", body())
    assert answer.status == 400
    assert answer.error.startswith("namespace: ")


async def test_two_namespaces_in_the_query_are_400(hub: FakeHub, ask: Ask) -> None:
    answer = await ask("POST", "/agents/register?namespace=blue&namespace=default", body())
    assert answer.status == 400
    assert answer.error == "the request names more than one namespace"
    assert hub.default.asked == hub.directories["blue"].asked == []


async def test_absent_fields_stay_unset(hub: FakeHub, ask: Ask) -> None:
    spec = await registered_spec(hub, ask, body())
    assert spec.metadata is UNSET
    assert spec.load is UNSET
    assert spec.status == "healthy"
