"""One request to a registry, the legacy service's or a hub, and what is seen of its answer."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

from msgspec import Struct

LONG = "x" * 20_000
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)(Z|[+-]\d\d:\d\d)")
_LEGACY_DIGITS = 7
"""More digits of a second than a hub writes; Go leaves out zeros at the end."""

KINDS = ("agent_id", "received", "message", "error", "agents", "id", "status", "links")
"""Fields by which answers are told apart."""


class Row(Struct, frozen=True):
    """A request, and what the legacy service and a hub answer.

    `hub` is empty where it is the same as `legacy`; otherwise `why` is the key of the difference.
    In the path, `{id}` is a registered agent, `{ID}` the same in upper case, `{unknown}` is none.
    `shows` names fields of the record afterwards; "*record" stands for the names of all of them,
    "*answer" for those of the answer.
    """

    what: str
    request: str
    body: bytes | None
    legacy: str
    hub: str = ""
    why: str = ""
    shows: str = ""
    headers: dict[str, str] = {}


def registration(**changes: Any) -> bytes:
    """The body of a registration with these fields changed, or left out where they are `...`."""
    fields = {"name": "n", "type": "cost", "host": "h", "port": 1, **changes}
    given = {name: value for name, value in fields.items() if value is not ...}
    return json.dumps(given, ensure_ascii=False).encode()


def registration_with(text: str) -> bytes:
    """The body of a registration with more fields, as JSON text."""
    return registration()[:-1] + b"," + text.encode() + b"}"


def registers(
    what: str,
    body: bytes,
    legacy: str,
    hub: str = "",
    why: str = "",
    *,
    shows: str = "",
    headers: dict[str, str] | None = None,
) -> Row:
    """A row with the documented route of a registration."""
    return Row(what, "POST /agents/register", body, legacy, hub, why, shows, headers or {})


def heartbeats(
    what: str, body: bytes, legacy: str, hub: str = "", why: str = "", *, shows: str = ""
) -> Row:
    """A row with the documented route of a heartbeat."""
    return Row(what, "POST /agents/{id}/heartbeat", body, legacy, hub, why, shows)


def observe(address: str, row: Row) -> str:
    """Send the request to `HOST:PORT`, and tell of the answer in a few words."""
    type_ = "cost"
    if "odd" in row.request:
        type_ = "odd/type" if "%2F" in row.request else "odd type"
    first = registration(type=type_, metadata={"a": 1, "n": {"x": 1}})
    agent_id = json.loads(_call(address, "POST", "/agents/register", first)[2])["agent_id"]
    method, _, path = row.request.partition(" ")
    path = path.replace("{id}", agent_id).replace("{ID}", agent_id.upper())
    path = path.replace("{unknown}", UNKNOWN)
    status, location, text = _call(address, method, path, row.body, row.headers)
    seen, answer = _kind(location, text, agent_id)
    registered = answer.get("agent_id", agent_id)
    if row.shows and status < 300:
        record = json.loads(_call(address, "GET", f"/agents/{registered}")[2])
        seen += "".join(f"; {name}: {_show(name, answer, record)}" for name in row.shows.split())
    for each in {agent_id, registered}:
        _call(address, "POST", f"/agents/{each}/unregister", b"")
    return f"{status} {seen}"


def _kind(location: str, text: bytes, agent_id: str) -> tuple[str, dict[str, Any]]:
    if location:
        return f"redirect to {location.replace(agent_id, '{id}')}", {}
    if not text:
        return "nothing", {}
    try:
        answer = json.loads(text)
    except ValueError:
        return "plain text", {}
    kind = next(each for each in KINDS if each in answer)
    if kind == "agents":
        listed = any(agent["id"] == agent_id for agent in answer["agents"])
        return f"agents, {'with' if listed else 'without'} it", answer
    return kind, answer


def _show(name: str, answer: dict[str, Any], record: dict[str, Any]) -> str:
    if name == "*answer":
        return " ".join(sorted(answer))
    if name == "*record":
        return " ".join(record)
    value = record.get(name)
    time = _TIME.fullmatch(value) if isinstance(value, str) else None
    if time is not None:
        unit = "nano" if len(time[1]) >= _LEGACY_DIGITS else "micro"
        return f"{unit}seconds, {time[2]}"
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _call(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location", ""), answer.read()
    finally:
        connection.close()
