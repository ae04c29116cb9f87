"""Requests of every op, right in most fields and wrong in some, as JSON text that says anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from homeport_protocol.bounds import KINDS, STATUSES, STRATEGIES
from tests.fuzz.answers import check_answer
from tests.fuzz.frames import Connection
from tests.fuzz.target import Found, Target

LAST = "the last request"

SOMEONE = [f"550e8400-e29b-41d4-a716-44665544000{number}" for number in range(4)]


class Raw(str):
    """JSON text, as it is."""

    __slots__ = ()


_NUMBERS = [
    *("0", "-0", "-0.0", "1", "-1", "1e0", "0.1", "1e308", "1e309", "-1e999", "5e-324", "01", "+1"),
    *("1.", ".5", "65536", "10001", "2e3", "NaN", "Infinity", "0x10", "1_000", "9" * 400),
    *(str(2**power + more) for power in (31, 32, 53, 63, 64, 1024) for more in (-1, 0, 1)),
]
_TEXTS = [
    *(
        '""',
        '" "',
        '"\\u0000"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u202e"',
        '"\\ufeff"',
        '"e\\u0301"',
    ),
    *('"\\n"', '"\\""', '"\\x"', '"\\', '"a', '"' + "x" * 300 + '"', '"' + "é" * 40_000 + '"'),
    *('"null"', '"true"', '"*"', '"__proto__"', '"$"', '"a.b"', '"\\uD83D\\uDE00"', '"😀"'),
]
_DEEP = [
    *("[" * depth + "]" * depth for depth in (33, 500, 20_000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (33, 500, 8_000)),
    *("[" * 1000, '{"a":' * 1000, "[]]", "{}}", "[,]", '{"a"}', '{"a":1,}', '{"a":1,"a":[]}'),
]
_odd = st.one_of(
    st.sampled_from(
        [*_NUMBERS, *_TEXTS, *_DEEP, "null", "true", "false", "[]", "{}", "[null]", ""]
    ),
    st.text(max_size=80).map(json.dumps),
    st.integers().map(str),
    st.floats().map(json.dumps),
).map(Raw)

_small_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
_text = st.one_of(
    st.sampled_from(["a", "cost", "übermäßig/1", "⚙\ufe0f", "x" * 64]), st.text(max_size=64)
)
_metadata = st.dictionaries(st.text(max_size=10), _small_json, max_size=5)
_status = st.sampled_from(STATUSES)
_load = st.floats(min_value=0, allow_infinity=False) | st.integers(0, 100)
_version = st.sampled_from(
    ["1.0", "2.0rc1", "9f3c2ab", "", ">=1.2,<2", "==1.*", "~=1.4", ">=x", "!=1"]
)
_id = st.sampled_from(SOMEONE)
_fields: dict[str, st.SearchStrategy[Any]] = {
    "name": _text,
    "type": _text,
    "host": _text,
    "port": st.integers(0, 65_535),
    "capabilities": st.lists(_text, max_size=5),
    "version": _version,
    "metadata": _metadata,
    "status": _status,
    "load": _load,
}
_changes = st.fixed_dictionaries(
    {}, optional={name: each for name, each in _fields.items() if name not in ("name", "type")}
)
_filter = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("type", "name", "host"), _text),
        "version": _version,
        "capabilities": st.lists(_text, max_size=3),
        "any_capability": st.lists(_text, max_size=3),
        "status": _status | st.lists(_status, max_size=3),
        "metadata": _metadata,
    },
)
_token = st.sampled_from(["", "t", "x" * 256])
_small = st.integers(0, 3)


def _request(op: str, fields: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"op": st.just(op), **fields}, optional=optional)


_agent = st.fixed_dictionaries(
    {"name": _text, "type": _text},
    optional={name: each for name, each in _fields.items() if name not in ("name", "type")},
)
_legacy_agent = st.fixed_dictionaries(
    {name: _fields[name] for name in ("name", "type", "host", "port")},
    optional={"agent_id": _id, **{name: _fields[name] for name in _fields if name[0] in "cvmsl"}},
)
_legacy_heartbeat = st.fixed_dictionaries(
    {}, optional={"status": _status, "metadata": _metadata, "load": _load}
)
REQUESTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "register": _request(
        "register", {"agent": _agent}, {"agent_id": _id, "exclusive": st.booleans()}
    ),
    "resume": _request("resume", {"agent_id": _id, "session_token": _token}, {"agent": _changes}),
    "heartbeat": _request(
        "heartbeat", {}, {"status": _status, "metadata": _metadata, "load": _load}
    ),
    "update": st.builds(lambda changes: {"op": "update", **changes}, _changes),
    "unregister": _request("unregister", {}, {}),
    "remove": _request("remove", {"agent_id": _id}, {}),
    "find": _request(
        "find", {}, {"filter": _filter, "limit": st.integers(1, 10_000), "cursor": _token}
    ),
    "flapping": _request(
        "flapping",
        {},
        {
            "filter": _filter,
            "changes": st.integers(1, 32),
            "within": st.floats(0.1, 3600),
            "limit": st.integers(1, 1000),
        },
    ),
    "get": _request("get", {"agent_id": _id}, {}),
    "pick": _request(
        "pick", {}, {"filter": _filter, "strategy": st.sampled_from(STRATEGIES), "key": _token}
    ),
    "watch": _request(
        "watch",
        {},
        {
            "filter": _filter,
            "since": _small,
            "log": _token,
            "position": _token,
            "kinds": st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
            "readings": st.booleans(),
        },
    ),
    "unwatch": _request("unwatch", {"watch": _small}, {}),
    "ping": _request("ping", {}, {}),
    "hubs": _request("hubs", {}, {}),
    "acknowledge_loss": _request("acknowledge_loss", {}, {}),
}
"""For each op, requests that are right."""


@st.composite
def _texts_of_requests(draw: st.DrawFn) -> str:
    """A request as JSON: right, or with some of its values, names or characters changed."""
    request = dict(draw(st.sampled_from(sorted(REQUESTS)).flatmap(REQUESTS.__getitem__)))
    request["id"] = draw(st.integers(0, 1000) | st.text(max_size=5))
    return _spoilt(draw, request)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str]:
    """A path of HTTP to post to, and a body for it, spoilt like requests."""
    agent_id = draw(_id)
    path, fields = draw(
        st.sampled_from(
            [
                ("/agents/register", _legacy_agent),
                (f"/agents/{agent_id}/heartbeat", _legacy_heartbeat),
            ]
        )
    )
    return path, _spoilt(draw, dict(draw(fields)))


def _spoilt(draw: st.DrawFn, request: dict[Any, Any]) -> str:
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 3]))):
        _spoil(draw, request)
    text = _as_json(request)
    if draw(st.integers(0, 15)) == 0:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 2)) :]
    return text


def _spoil(draw: st.DrawFn, inside: dict[Any, Any]) -> None:
    """Change one value, at any depth, or add one."""
    keys = [key for key in inside if isinstance(key, str)]
    key = draw(st.sampled_from([*keys, "surplus"]))
    value = inside.get(key)
    if isinstance(value, dict) and value and draw(st.booleans()):
        inside[key] = dict(value)
        _spoil(draw, inside[key])
    elif value is not None and draw(st.integers(0, 4)) == 0:
        del inside[key]
    else:
        inside[key] = draw(_odd)


def _as_json(value: Any) -> str:
    """JSON in which `Raw` stands for itself."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(key)}:{_as_json(each)}" for key, each in value.items())
            + "}"
        )
    return json.dumps(value)


conversations = st.lists(
    st.one_of(_texts_of_requests(), _texts_of_requests(), _odd.map(str)), min_size=1, max_size=12
)


def send(target: Target, conversation: list[str]) -> int:
    """Send the messages on a connection of their own, and judge each answer; raises Found.

    Returns the number of messages.
    """
    sent = [text.encode("utf-8", "surrogatepass") for text in conversation]
    sent = [text for text in sent if len(text) <= 65_536 and _is_utf8(text)]
    wire = Connection(target)
    try:
        for text in sent:
            wire.send(text)
        wire.send({"op": "ping", "id": LAST})
        wire.listen_until(lambda: any(answer["id"] == LAST for answer in wire.answers))
    finally:
        wire.drop()
    _judge(sent, wire)
    return len(sent)


def _judge(sent: list[bytes], wire: Connection) -> None:
    answers = [answer for answer in wire.answers if answer["id"] != LAST]
    if len(answers) > len(sent) or (wire.close is None and len(answers) < len(sent)):
        raise Found(f"{len(answers)} answers to {len(sent)} requests")
    for text, answer in zip(sent, answers, strict=False):
        request = _read(text)
        check_answer(request.get("op"), answer)
        if answer["op"] != "error" and answer["id"] != request.get("id"):
            raise Found(f"the answer to {text!r:.200} has another id: {answer!r:.200}")
    ended = any(b"unregister" in text or b"remove" in text for text in sent)
    expected = {1000: ended, 4400: len(sent) >= 10, 4409: True}
    if wire.close is not None and not expected.get(wire.close.code):
        raise Found(f"closed with {wire.close.code} {wire.close.reason!r}")


def _read(text: bytes) -> dict[str, Any]:
    """The request as a lenient parser reads it."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def _is_utf8(text: bytes) -> bool:
    """Whether it is a text at all; what is none is for `tests.fuzz.frames`."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
