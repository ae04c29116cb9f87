"""Requests over HTTP of somebody without a token, at a hub that asks everybody for one."""

from __future__ import annotations

import secrets
from typing import Any

import requests
from hypothesis import strategies as st
from schemathesis import Case

from homeport_protocol.tokens import ID_LENGTH, SECRET_LENGTH, digest_of, make_token
from tests.fuzz import http
from tests.fuzz.target import Found, Target
from tests.support.waiting import LIMIT

TOKEN = make_token("o" * ID_LENGTH, "S" * SECRET_LENGTH)
OPTIONS = ["--auth", "required"]
ENV = {"HOMEPORT_OPERATOR_TOKEN_SHA256": digest_of(TOKEN)}
HEADERS = {"Authorization": f"Bearer {TOKEN}"}

OPEN = {"/", "/health", "/ready", "/openapi.json", "/asyncapi.json", "/logout"}
"""Paths that anybody may ask."""

CANARY = f"canary-{secrets.token_hex(8)}"
"""The name of an agent that no stranger may read, change or end."""

_ids: dict[int, str] = {}  # of the canary, by the hub's process

# Credentials that look like a token, and are none: they are asked about nowhere.
_false = st.sampled_from(
    [
        None,
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}x",
        f"Bearer {TOKEN}x",
        f"Bearer {make_token('o' * ID_LENGTH, 'T' * SECRET_LENGTH)}",
        f"bearer  {TOKEN[:30]}",
        f"Token {TOKEN}",
        "Basic Og==",
        "Basic =",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
    ]
)
described = st.tuples(http.described, _false)
raw = http.raw


def send_described(target: Target, example: tuple[Case, str | None]) -> int:
    """Send one request; raises Found when it gets more than anybody may."""
    canary = _canary(target)
    case, credential = example
    headers = {name: value for name, value in (case.headers or {}).items() if _kept(name)}
    if credential is not None:
        headers["Authorization"] = credential
    try:
        answer = case.call(
            base_url=target.hub.url, headers=headers, timeout=LIMIT, allow_redirects=False
        )
    except (requests.ConnectionError, ValueError, UnicodeError):
        return 0
    if answer.status_code < 400 and case.operation.path not in OPEN:
        raise Found(f"{answer.status_code} for a stranger: {answer.content!r:.300}")
    _check(answer.content, canary)
    return 1


def send_raw(target: Target, sent: http.RawRequests) -> int:
    """Send bytes; raises Found when they get more than anybody may."""
    canary = _canary(target)
    came = http.exchange(target, sent)
    _check(came, canary)
    return http.check_answers(came)


def _check(came: bytes, canary: str) -> None:
    if CANARY.encode() in came or canary.encode() in came:
        raise Found(f"a stranger reads of agents: {came!r:.500}")


def _kept(name: str) -> bool:
    return name.lower() not in ("authorization", "cookie")


def _canary(target: Target) -> str:
    """The id of the canary, which lives and is as it was registered; raises Found."""
    hub = target.hub
    if hub.pid not in _ids:
        body = {"name": CANARY, "type": "cost", "host": "h", "port": 1}
        registered = _ask(f"{hub.url}/agents/register", body)
        _ids[hub.pid] = str(registered.json()["agent_id"])
    agent_id = _ids[hub.pid]
    answer = _ask(f"{hub.url}/agents/{agent_id}/heartbeat", {})
    if answer.status_code != 200:
        raise Found(f"the agent of another is gone: {answer.status_code} {answer.text}")
    listed = requests.get(f"{hub.url}/agents", headers=HEADERS, timeout=LIMIT).json()["agents"]
    if [(agent["id"], agent["name"], agent["epoch"]) for agent in listed] != [
        (agent_id, CANARY, listed[0]["epoch"])
    ]:
        raise Found(f"a stranger changed the directory: {listed!r:.500}")
    return agent_id


def _ask(url: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(url, json=body, headers=HEADERS, timeout=LIMIT)
