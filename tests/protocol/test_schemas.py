"""The generated descriptions: they are what the types say, and what the types take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator

from homeport_protocol.answers import Message
from homeport_protocol.asyncapi import ANSWERS, CLOSE_WORDS
from homeport_protocol.codec import decode_message, decode_record, decode_request
from homeport_protocol.errors import ERROR_CODES, CloseCode, ProtocolError
from homeport_protocol.requests import OPS, Request
from homeport_protocol.schemas import asyncapi, documents, json_schemas, main, openapi

DOCS = Path(__file__).resolve().parents[2] / "docs"
AGENT_ID = "550e8400-e29b-41d4-a716-446655440000"
NOW = "2026-11-20T12:00:00.000000Z"
RECORD: dict[str, Any] = {
    "id": AGENT_ID,
    "name": "cost-1",
    "type": "cost",
    "host": "h",
    "port": 1,
    "capabilities": ["a"],
    "status": "healthy",
    "version": "1.0",
    "registered_at": NOW,
    "last_seen": NOW,
    "metadata": {"zone": "eu"},
    "load": 0.5,
    "health": {"connection": "http", "reported": "healthy", "reason": "ok", "since": NOW},
    "epoch": 1,
    "hub": "",
    "revision": 7,
}

GOOD_REQUESTS: list[dict[str, Any]] = [
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "cost"}},
    {
        "op": "register",
        "id": "x",
        "agent_id": AGENT_ID,
        "agent": {
            "name": "a",
            "type": "my.type",
            "host": "h",
            "port": 65535,
            "capabilities": ["x"],
            "version": "1",
            "metadata": {"a": None},
            "status": "degraded",
            "load": 0,
            "unknown": 1,
        },
    },
    {"op": "resume", "id": 1, "agent_id": AGENT_ID, "session_token": "t", "agent": {"port": 1}},
    {"op": "heartbeat", "id": 1},
    {"op": "heartbeat", "id": 1, "status": "healthy", "metadata": {"a": 1}, "load": 1.5},
    {"op": "update", "id": 1, "capabilities": [], "host": "h"},
    {"op": "unregister", "id": 1},
    {"op": "remove", "id": 1, "agent_id": AGENT_ID},
    {"op": "find", "id": 1},
    {
        "op": "find",
        "id": 1,
        "filter": {"status": ["healthy"], "metadata": {"a.b": 1}},
        "limit": 10000,
        "cursor": "c",
    },
    {"op": "flapping", "id": 1},
    {"op": "flapping", "id": 1, "filter": {"type": "c"}, "changes": 32, "within": 0.5, "limit": 1},
    {"op": "get", "id": 1, "agent_id": AGENT_ID},
    {"op": "pick", "id": 1, "filter": {"status": "healthy"}, "strategy": "sticky", "key": "k"},
    {"op": "watch", "id": 1, "since": 0, "log": "l"},
    {"op": "unwatch", "id": 1, "watch": 1},
    {"op": "ping", "id": -1, "more": []},
    {"op": "hubs", "id": 1},
    {"op": "acknowledge_loss", "id": 1},
]
BAD_REQUESTS: list[dict[str, Any]] = [
    {"op": "register", "id": 1},
    {"op": "register", "id": 1, "agent": {"name": "", "type": "cost"}},
    {"op": "register", "id": 1, "agent": {"name": "a\n", "type": "cost"}},
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "co\nst"}},
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "c", "port": 65536}},
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "c", "load": -1}},
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "c", "capabilities": [""]}},
    {"op": "register", "id": 1, "agent": {"name": "a", "type": "c"}, "agent_id": "x"},
    {"op": "heartbeat", "id": 1, "status": "dead"},
    {"op": "heartbeat", "id": 1, "metadata": []},
    {"op": "find", "id": 1, "filter": {"typ": "cost"}},
    {"op": "find", "id": 1, "limit": 0},
    {"op": "flapping", "id": 1, "changes": 33},
    {"op": "flapping", "id": 1, "within": 0},
    {"op": "pick", "id": 1, "strategy": "best"},
    {"op": "watch", "id": 1, "since": -1},
    {"op": "unwatch", "id": 1},
    {"op": "ping"},
    {"op": "ping", "id": "x" * 65},
    {"op": "nope", "id": 1},
    {"id": 1},
]
TERMS = {"log": "l", "revision": 7}
GOOD_MESSAGES: list[dict[str, Any]] = [
    {
        "op": "registered",
        "id": 1,
        "agent_id": AGENT_ID,
        "session_token": "t",
        "epoch": 1,
        "resumed": False,
        "registered_at": NOW,
        "heartbeat_interval": 30,
        "heartbeat_timeout": 45,
        "lease_ttl": 60,
        **TERMS,
    },
    {"op": "heartbeat_ack", "id": 1, "next_interval": 0.3, "timestamp": NOW, "durable": True},
    {"op": "updated", "id": 1, **TERMS},
    {"op": "unregistered", "id": "x"},
    {"op": "removed", "id": 1},
    {"op": "agents", "id": 1, "agents": [RECORD], "count": 1, **TERMS, "next_cursor": "c"},
    {"op": "agent", "id": 1, "agent": RECORD},
    {"op": "watching", "id": 1, "watch": 1, "resumed": False, **TERMS},
    {"op": "unwatched", "id": 1},
    {"op": "pong", "id": 1},
    {
        "op": "hubs",
        "id": 1,
        "hubs": [
            {
                "hub_id": "hub-1",
                "url": "http://h:1",
                "version": "0.2.0",
                "started": NOW,
                "agents": 1,
                "sessions": 2,
                "revision": 7,
                "lag": 0,
            }
        ],
        "answered_by": "hub-1",
        **TERMS,
    },
    {
        "op": "flapping",
        "id": 1,
        "agents": [
            {
                "agent_id": AGENT_ID,
                "name": "a",
                "type": "cost",
                "status": "unreachable",
                "changes": 3,
                "last_kind": "status_changed",
                "last_reason": "heartbeat_timeout",
                "last_change": NOW,
            }
        ],
        "since": NOW,
    },
    {"op": "loss_acknowledged", "id": 1, "agents": 12, "revision": 7},
    {"op": "snapshot", "watch": 1, "agents": [RECORD], "last": True, **TERMS},
    {"op": "event", "watch": 1, "revision": 7, "kind": "lost", "agent": RECORD},
    {
        "op": "event",
        "watch": 1,
        "revision": 7,
        "kind": "lost",
        "agent": RECORD,
        "coalesced": True,
    },
    {"op": "reading", "watch": 1, "loads": {AGENT_ID: 0.4}},
    {"op": "error", "id": None, "code": "bad_request", "message": "m", "retryable": False},
    {
        "op": "error",
        "id": 1,
        "code": "unavailable",
        "message": "m",
        "retryable": True,
        "retry_after": 1,
        "field": "agent.name",
    },
]
BAD_MESSAGES: list[dict[str, Any]] = [
    {"op": "pong"},
    {"op": "error", "id": 1, "code": "odd", "message": "m", "retryable": False},
    {"op": "event", "watch": 1, "revision": 7, "kind": "odd", "agent": RECORD},
    {"op": "agent", "id": 1, "agent": {**RECORD, "status": "odd"}},
    {"op": "agent", "id": 1, "agent": {key: RECORD[key] for key in RECORD if key != "health"}},
]


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json_schemas()[name])


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/"), reference
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


@pytest.mark.parametrize("path", sorted(documents()))
def test_the_committed_copy_is_what_the_types_say(path: str) -> None:
    assert (DOCS / path).read_bytes() == documents()[path], (
        "run: python -m homeport_protocol.schemas"
    )


def test_no_stale_copy_is_committed() -> None:
    generated = {path for path in documents() if path.startswith("schemas/")}
    committed = {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()}
    assert committed == generated


def test_the_documents_are_written_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path)])
    written = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*.json")
    }
    assert written == documents()
    assert len(capsys.readouterr().out.splitlines()) == len(written)


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_each_schema_is_a_valid_schema_on_its_own(name: str) -> None:
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    for node in walk(schema):
        if "$ref" in node:
            resolve(schema, node["$ref"])


@pytest.mark.parametrize("sample", GOOD_REQUESTS, ids=lambda sample: sample["op"])
def test_the_request_schema_takes_what_the_hub_takes(sample: dict[str, Any]) -> None:
    decode_request(msgspec.json.encode(sample))
    validator("request").validate(sample)


@pytest.mark.parametrize("sample", BAD_REQUESTS, ids=str)
def test_the_request_schema_refuses_what_the_hub_refuses(sample: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_request(msgspec.json.encode(sample))
    assert not validator("request").is_valid(sample)


@pytest.mark.parametrize("sample", GOOD_MESSAGES, ids=lambda sample: sample["op"])
def test_the_message_schema_takes_what_the_client_takes(sample: dict[str, Any]) -> None:
    decoded = decode_message(msgspec.json.encode(sample))
    validator("message").validate(sample)
    # And what a hub encodes is what was decoded: nothing is lost on the way.
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == sample


@pytest.mark.parametrize("sample", BAD_MESSAGES, ids=lambda sample: sample["op"])
def test_the_message_schema_refuses_what_the_client_refuses(sample: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_message(msgspec.json.encode(sample))
    assert not validator("message").is_valid(sample)


def test_every_request_and_every_message_has_a_sample() -> None:
    assert {sample["op"] for sample in GOOD_REQUESTS} == OPS
    tags = {_tag(each) for each in get_args(Message)}
    assert {sample["op"] for sample in GOOD_MESSAGES} == tags


def _tag(type_: Any) -> str:
    type_ = getattr(type_, "__origin__", type_)
    return str(type_.__struct_config__.tag)


def test_the_record_schema_takes_a_record_and_the_fields_are_in_the_contracts_order() -> None:
    decode_record(msgspec.json.encode(RECORD))
    validator("record").validate(RECORD)
    assert list(json_schemas()["record"]["$defs"]["AgentRecord"]["properties"]) == list(RECORD)


def test_the_bodies_of_legacy_callers_have_schemas() -> None:
    registration = {"name": "a", "type": "cost", "host": "a:1", "status": "", "version": None}
    validator("registration").validate(registration)
    assert not validator("registration").is_valid({"name": "a", "type": "cost"})
    validator("heartbeat").validate({"status": "", "metadata": None})
    assert not validator("heartbeat").is_valid({"status": "dead"})


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_reference_resolves_and_every_component_is_used(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in walk(document) if isinstance(node.get("$ref"), str)}
    for reference in used:
        resolve(document, reference)
    for kind, components in document["components"].items():
        for name in components:
            assert kind == "securitySchemes" or f"#/components/{kind}/{name}" in used
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_descriptions_have_no_line_breaks_of_the_source() -> None:
    for node in walk(openapi()):
        if isinstance(node.get("description"), str):
            assert "\n" not in node["description"]


def test_each_operation_of_the_http_side_has_an_id_of_its_own_and_its_path_parameters() -> None:
    document = openapi()
    ids: list[str] = []
    for path, item in document["paths"].items():
        common = item.get("parameters", [])
        for method, operation in item.items():
            if method == "parameters":
                continue
            ids.append(operation["operationId"])
            parameters = [
                resolve(document, each["$ref"])
                for each in [*common, *operation.get("parameters", [])]
            ]
            in_path = {each["name"] for each in parameters if each["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            names = [(each["in"], each["name"]) for each in parameters]
            assert len(names) == len(set(names))
    assert len(ids) == len(set(ids))


def test_examples_are_valid_by_their_schemas() -> None:
    document = openapi()
    count = 0
    for item in document["paths"].values():
        for operation in item.values():
            if not isinstance(operation, dict) or "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"]["application/json"]
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(content["example"])
            count += 1
    assert count == 4


def test_every_message_has_its_direction_and_every_request_its_answer() -> None:
    document = asyncapi()
    operations = document["operations"]
    received = {name for name, each in operations.items() if each["action"] == "receive"}
    assert received == OPS
    assert set(ANSWERS) == set(get_args(Request))
    assert {name for name, each in operations.items() if each["action"] == "send"} == {
        "snapshot",
        "event",
        "reading",
    }
    for name in received:
        replies = [
            each["$ref"].rpartition("/")[2] for each in operations[name]["reply"]["messages"]
        ]
        assert len(replies) == 2
        assert replies[1] == "Error"
    described = {each["name"] for each in document["components"]["messages"].values()}
    assert described == OPS | {_tag(each) for each in get_args(Message)}


def test_every_error_and_close_code_is_described() -> None:
    channel = asyncapi()["channels"]["homeport"]
    assert set(channel["x-error-codes"]) == set(ERROR_CODES)
    assert set(channel["x-close-codes"]) == {str(int(code)) for code in CloseCode}
    assert set(CLOSE_WORDS) == set(CloseCode)


def test_each_call_gives_a_document_of_its_own() -> None:
    first = openapi()
    first["paths"].clear()
    assert openapi()["paths"]
