"""Secrets in every place that a caller can reach come out nowhere.

Each is marked. Logs at debug in both forms, the audit log, all answers that are refusals, the
metrics, `/ready`, and all that Redis holds are searched for the marks.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from homeport_protocol.tokens import digest_of, make_token
from tests.e2e.conftest import StartHub
from tests.support.hub_process import Hub
from tests.support.jwt_issuer import Key, jwks
from tests.support.redis_servers import RedisServer, running
from tests.support.tokens import bearer
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import ClosedError, RefusedError, Wire, frame

AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}
REDIS_PASSWORD = "mark3redisPassword"
OPERATOR = "mark3operatorThatSomebodyChose"


class Marks:
    """Secrets by what they are."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.values: dict[str, str] = {}

    def add(self, what: str, secret: str, mark: str = "") -> str:
        """`mark` is the part of it that must come out nowhere, if not all of it."""
        self.of[what] = mark or secret
        return secret

    def token(self, what: str) -> str:
        """A well-formed token that nobody made."""
        number = len(self.of)
        secret = f"mark3x{number:02d}" + "s" * 32
        return self.add(what, make_token(f"aaaaaaaaaa{number:02d}", secret), secret)

    def found_in(self, text: str) -> list[str]:
        return [what for what, mark in self.of.items() if mark in text]


@pytest.fixture
def marks() -> Marks:
    marks = Marks()
    marks.add("the password of Redis", REDIS_PASSWORD)
    marks.add("the operator's token", OPERATOR)
    return marks


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running(RedisServer(keeps=True, password=REDIS_PASSWORD)) as server:
        yield server


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture(params=["console", "json"])
def hub(
    request: pytest.FixtureRequest,
    server: RedisServer,
    start_hub: StartHub,
    tmp_path: Path,
    key: Key,
) -> Hub:
    (tmp_path / "keys.json").write_bytes(jwks(key))
    config = tmp_path / "homeport.toml"
    config.write_text(
        f'redis = "unix://:{REDIS_PASSWORD}@{server.path}"\njwt_keys = "{tmp_path}/keys.json"\n'
    )
    return start_hub(
        *("--config", str(config), "--auth", "required", "--log-level", "debug"),
        *("--log-format", request.param, "--audit-log", str(tmp_path / "audit.jsonl")),
        *("--open-namespaces", "10", "--legacy-until", "2999-01-01"),
        env={"HOMEPORT_OPERATOR_TOKEN_SHA256": digest_of(OPERATOR)},
    )


def raw(hub: Hub, data: bytes) -> str:
    """What a hub says to bytes that are perhaps no request."""
    with socket.create_connection(("127.0.0.1", hub.port), LIMIT) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    return answer.decode("latin-1")


def refused_over_http(hub: Hub, marks: Marks, good: str, key: Key) -> list[str]:
    """Secrets in headers, queries, paths and bodies; returns the answers."""
    basic = base64.b64encode(f"agent:{marks.token('Basic')}".encode()).decode()
    marks.add("Basic in base64", basic)
    now = int(time.time())
    claims = {"sub": "somebody", "exp": now - 5, "homeport": {"role": "agent"}}
    expired = marks.add("an expired JWT", key.sign(claims))
    forged = marks.add("a forged JWT", Key().sign({**claims, "exp": now + 60}))
    shown = [
        {"Authorization": f"Bearer {marks.token('an unknown token')}"},
        {"Authorization": f"Bearer {good[:-1]}!"},
        {"Authorization": f"Bearer {good[:-6]}000000"},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Digest {marks.add('Digest', 'mark3digest')}"},
        {"Authorization": f"{marks.add('no scheme', 'mark3noScheme')}"},
        {"Authorization": f"Bearer {expired}"},
        {"Authorization": f"Bearer {forged}"},
        {"Cookie": f"homeport={marks.add('a cookie', 'mark3cookie')}"},
        {"Cookie": f"homeport_session={marks.token('a token as a cookie')}"},
        {"Homeport-Namespace": marks.add("a namespace", "mark3 namespace!")},
    ]
    answers = [
        requests.get(f"{hub.url}/agents", headers=each, timeout=LIMIT).text for each in shown
    ]
    query = marks.token("a token in the query")
    for path in (f"/agents?token={query}", f"/ws?access_token={query}", f"/agents?x={query}"):
        answers.append(requests.get(hub.url + path, headers=bearer(good), timeout=LIMIT).text)
    in_path = marks.token("a token in the path")
    for method, path in (
        ("GET", f"/agents/{in_path}"),
        ("POST", f"/agents/{in_path}/heartbeat"),
        ("DELETE", f"/tokens/{in_path}"),
        ("GET", f"/tokens/{in_path}"),
        ("GET", f"/{in_path}"),
    ):
        for token in (good, OPERATOR):
            url = hub.url + path
            answer = requests.request(method, url, headers=bearer(token), json={}, timeout=LIMIT)
            answers.append(answer.text)
    body = marks.add("a body", "mark3body")
    for data in (
        f'{{"name": "{body}"',
        json.dumps({**AGENT, "metadata": {"k": body}, "port": "x"}),
        json.dumps({**AGENT, "metadata": {"k": body * 4000}}),
        json.dumps({**AGENT, "host": 7, "version": body}),
        json.dumps([body]),
    ):
        url = f"{hub.url}/agents/register"
        answer = requests.post(url, data=data, headers=bearer(good), timeout=LIMIT)
        assert answer.status_code >= 400
        answers.append(answer.text)
    login = f"{hub.url}/login"
    for text in (marks.token("a token at login"), marks.add("no token at login", "mark3login")):
        answers.append(requests.post(login, json={"token": text}, timeout=LIMIT).text)
    session = {"Homeport-Session-Token": marks.add("a session token", "mark3session")}
    url = f"{hub.url}/agents/11111111-1111-4111-8111-111111111111/heartbeat"
    headers = {**bearer(good), **session}
    answers.append(requests.post(url, json={}, headers=headers, timeout=LIMIT).text)
    secret = marks.token("a token in what is no request")
    for data in (
        f"GET /agents HTTP/9.9\r\nAuthorization: Bearer {secret}\r\n\r\n",
        f"GET /agents HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {secret}\r\n"
        f"Authorization: Bearer {secret}\r\n\r\n",
        f"{secret}\r\n\r\n",
        f"GET http://user:{secret}@127.0.0.1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        f"GET /agents HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        f"POST /agents/register HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {good}\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n{secret}\r\n",
    ):
        answers.append(raw(hub, data.encode()))
    return answers


def refused_over_websockets(hub: Hub, marks: Marks, good: str) -> list[str]:
    answers = []
    for headers in (
        bearer(marks.token("a token at a handshake")),
        {**bearer(good), "Sec-WebSocket-Protocol": marks.token("a token as subprotocol")},
        {"Sec-WebSocket-Protocol": marks.token("a subprotocol alone")},
    ):
        try:
            Wire(hub.url, headers=headers).drop()
        except RefusedError as refused:
            answers.append(refused.body.decode())
    wire = Wire(hub.url, headers=bearer(good))
    lease = wire.register("cost-9", metadata={"k": marks.add("metadata", "mark3metadata")})
    marks.add("a session token that is good", lease["session_token"])
    beat = marks.add("metadata of a heartbeat", "mark3beat")
    assert wire.ask("heartbeat", metadata={"n": beat})["op"] == "heartbeat_ack"
    other = Wire(hub.url, headers=bearer(good))
    token = marks.add("a made-up session token", "mark3madeUp")
    for op, fields in (
        ("resume", {"agent_id": lease["agent_id"], "session_token": token}),
        ("resume", {"agent_id": lease["agent_id"], "session_token": {"x": token}}),
        ("register", {"agent": {"name": 1, "type": token}}),
        ("find", {"filter": {"metadata": token}}),
    ):
        answer = other.ask(op, **fields)
        assert answer["op"] == "error"
        answers.append(json.dumps(answer))
    reason = marks.token("a close reason").encode()
    other.send_bytes(frame(8, struct.pack("!H", 4000) + reason))
    broken = Wire(hub.url, headers=bearer(good))
    broken.send_bytes(frame(3, marks.token("a broken frame").encode()))
    try:
        broken.closing()
    except ClosedError:
        pass
    for each in (wire, other, broken):
        each.drop()
    return answers


def test_no_secret_comes_out_anywhere(
    hub: Hub, server: RedisServer, marks: Marks, key: Key, tmp_path: Path
) -> None:
    operator = bearer(OPERATOR)
    made = requests.post(
        f"{hub.url}/tokens", json={"role": "agent"}, headers=operator, timeout=LIMIT
    ).json()
    good = marks.add("a good token", made["token"], made["token"].split("_")[2])
    cookie = requests.post(f"{hub.url}/login", json={"token": good}, timeout=LIMIT)
    assert cookie.status_code == 200
    for value in cookie.cookies.values():
        marks.add("a good cookie", value)
    assert requests.get(f"{hub.url}/agents", cookies=cookie.cookies, timeout=LIMIT).ok
    claims: dict[str, Any] = {
        "sub": "somebody",
        "exp": int(time.time()) + 600,
        "homeport": {"role": "agent"},
    }
    jwt = marks.add("a good JWT", key.sign(claims))
    assert requests.get(f"{hub.url}/agents", headers=bearer(jwt), timeout=LIMIT).ok
    answers = refused_over_http(hub, marks, good, key)
    answers += refused_over_websockets(hub, marks, good)
    revoked = requests.delete(f"{hub.url}/tokens/{made['id']}", headers=operator, timeout=LIMIT)
    assert revoked.ok

    def refused() -> bool:
        answer = requests.get(f"{hub.url}/agents", headers=bearer(good), timeout=LIMIT)
        if answer.status_code == 401:
            answers.append(answer.text)
        return answer.status_code == 401

    wait_until(refused)
    pages = [
        requests.get(f"{hub.url}/{page}", headers=operator, timeout=LIMIT).text
        for page in ("metrics", "ready", "tokens", "health", "")
    ]
    stored = everything(server)
    hub.end()
    audit = (tmp_path / "audit.jsonl").read_text()
    assert len(marks.of) > 25
    assert audit.count("\n") > 5
    assert "request refused" in hub.log() or "requests refused" in hub.log()
    assert marks.found_in(hub.log()) == []
    assert marks.found_in(audit) == []
    for text in (*answers, *pages):
        assert marks.found_in(text) == [], text
    # By right, and so the search finds what is there.
    assert marks.found_in(stored) == ["metadata", "metadata of a heartbeat"]


def everything(server: RedisServer) -> str:
    """All keys and values."""
    client, found = server.client, []
    for name in client.keys("*"):
        kind = str(client.type(name))
        read: dict[str, Any] = {
            "string": lambda name: client.get(name),
            "hash": lambda name: client.hgetall(name),
            "set": lambda name: client.smembers(name),
            "stream": lambda name: client.xrange(name),
        }
        found.append(f"{name} {read[kind](name)}")
    assert any("auth:tokens" in each for each in found)
    return "\n".join(found)
