"""Requests over HTTP: what `docs/openapi.json` describes, right and wrong, and what is none."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from tests.fuzz import messages
from tests.fuzz.target import Found, Target
from tests.support.waiting import LIMIT

_DESCRIBED = schemathesis.openapi.from_path(
    Path(__file__).parents[2] / "docs" / "openapi.json"
).get_all_operations()
_CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
_REFUSALS = {501, 503, 505}
"""Statuses from 500 on that are no fault of the hub."""

_session = requests.Session()
_session.trust_env = False

described = st.one_of(
    [
        operation.as_strategy(generation_mode=mode)
        for operation in (found.ok() for found in _DESCRIBED)
        if operation.path != "/ws"
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
)


def send_described(target: Target, case: Case) -> int:
    """Send one request, and hold the answer against the document; raises Found."""
    try:
        response = case.call(
            base_url=target.hub.url, session=_session, timeout=LIMIT, allow_redirects=False
        )
    except requests.Timeout as error:
        raise Found(f"no answer: {error}") from error
    except (requests.ConnectionError, ValueError, UnicodeError):
        return 0  # what this client cannot send, `send_raw` sends
    content_type = " ".join(response.headers.get("content-type", []))
    _check(response.status_code, content_type, response.content)
    case.validate_response(response, checks=_CHECKS)
    return 1


bodies = messages.bodies()


def send_body(target: Target, example: tuple[str, str]) -> int:
    """Post a body of JSON, right or wrong or none, as legacy callers do; raises Found."""
    path, text = example
    answer = _session.post(
        target.hub.url + path,
        data=text.encode("utf-8", "surrogatepass"),
        headers={"Homeport-Namespace": target.namespace, "Content-Type": "application/json"},
        timeout=LIMIT,
    )
    _check(answer.status_code, answer.headers["content-type"], answer.content)
    if answer.status_code not in (200, 201, 400, 404, 409, 413):
        raise Found(f"{answer.status_code}: {answer.text:.500}")
    return 1


class RawRequests(NamedTuple):
    """The bytes of one connection, and where they are cut into segments."""

    data: bytes
    cuts: list[float]


_METHODS = [
    "GET",
    "POST",
    "DELETE",
    "HEAD",
    "PUT",
    "OPTIONS",
    "PATCH",
    "get",
    "BREW",
    "",
    "GET GET",
]
_TARGETS = [
    *("/agents", "/agents/register", "/agents/pick", "/health", "/ready", "/metrics", "/", "/ws"),
    *("/agents/550e8400-e29b-41d4-a716-446655440000", "/agents/type/cost", "*", "agents", ""),
    *("/agents/550e8400-e29b-41d4-a716-446655440000/heartbeat", "//agents", "/agents/../health"),
    *("/agents%2fregister", "/agents?limit=1&limit=2", "/agents?%", "/agents?meta.a=%ff", "/%00"),
    *("http://elsewhere/agents", "/agents#x", "/agents?" + "a=1&" * 500, "/" + "a" * 9000, "/ü"),
]
_VERSIONS = [
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.10",
    "",
]
_BODIES = [
    b"",
    b"{}",
    b"null",
    b'{"name":"a","type":"cost","host":"h","port":1}',
    b"2\r\n{}\r\n0\r\n\r\n",
    b"2;ext=1\r\n{}\r\n0\r\nTrailer: x\r\nHomeport-Namespace: other\r\n\r\n",
    b"-1\r\n{}\r\n0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\xff" * 100,
    b"[" * 5000,
]
_HEADERS = [
    *("Content-Length: 0", "Content-Length: 2", "Content-Length: 46", "Content-Length: -1"),
    *("Content-Length: 99999999999999999999", "Content-Length: 2, 2", "Content-Length: x"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding: xchunked"),
    *("Connection: close", "Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"),
    *(
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        "Expect: 100-continue",
    ),
    *(
        "Content-Type: application/json",
        "Content-Type: text/plain",
        "Accept: text/html",
        "Accept: */*",
    ),
    *("Homeport-Namespace: fuzzed", "Homeport-Namespace: ../x", "Homeport-Session-Token: x"),
    *("Origin: http://elsewhere", "Host: elsewhere", "Host: localhost:1", "Host:", ": empty"),
    *("Authorization: Bearer x", "Authorization: Basic eDp5", "Cookie: a=b", "X: " + "y" * 70_000),
    *("no colon", " folded: 1", "Name : space", "A\x00B: c", "A: \x00", "A: b\rc", "Ä: ü"),
]


@st.composite
def _one_request(draw: st.DrawFn) -> bytes:
    lines = [
        f"{draw(st.sampled_from(_METHODS))} {draw(st.sampled_from(_TARGETS))} "
        f"{draw(st.sampled_from(_VERSIONS))}",
        *draw(st.sampled_from([["Host: localhost"], ["Host: localhost"], []])),
        *draw(st.lists(st.sampled_from(_HEADERS), max_size=6)),
    ]
    end = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"]))
    head = (end.join(lines) + end + end).encode("latin-1", "replace")
    return head + draw(st.sampled_from(_BODIES))


@st.composite
def _raw(draw: st.DrawFn) -> bytes:
    made = b"".join(draw(st.lists(_one_request() | st.binary(max_size=80), min_size=1, max_size=3)))
    if made and draw(st.booleans()):
        at = draw(st.integers(0, len(made) - 1))
        made = made[:at] + draw(st.binary(max_size=3)) + made[at + draw(st.integers(0, 2)) :]
    return made


raw = st.builds(RawRequests, _raw(), st.lists(st.floats(0, 1), max_size=4).map(sorted))


def send_raw(target: Target, sent: RawRequests) -> int:
    """Send bytes, and the end of the stream; the hub answers what is a request, and ends.

    Returns the number of answers. Raises Found.
    """
    return check_answers(exchange(target, sent))


def exchange(target: Target, sent: RawRequests) -> bytes:
    """All that the hub answers to these bytes and the end of the stream; raises Found."""
    with socket.create_connection(target.address, timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        places = [round(cut * len(sent.data)) for cut in sent.cuts]
        came = b""
        try:
            for start, end in zip([0, *places], [*places, len(sent.data)], strict=True):
                connection.sendall(sent.data[start:end])
            connection.shutdown(socket.SHUT_WR)
            limit = time.monotonic() + LIMIT
            while data := connection.recv(1 << 16):
                came += data
                if time.monotonic() > limit:
                    raise Found("the hub sends without end")
        except TimeoutError as error:
            raise Found("the hub neither answered nor closed") from error
        except OSError:  # it has closed with something unread
            pass
    return came


def check_answers(came: bytes) -> int:
    """The number of answers in a stream, each of them good for a user; raises Found."""
    count = 0
    while came.startswith(b"HTTP/1.1 "):
        head, ended, came = came.partition(b"\r\n\r\n")
        if not ended:
            raise Found(f"half a head: {head!r:.300}")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0][9:12])
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        if status in (100, 101):
            if status == 101:
                return count + 1  # frames follow
            continue
        count += 1
        body = b""
        if came and not came.startswith(b"HTTP/1.1 "):  # an answer to HEAD has none
            size = int(headers.get("content-length", len(came)))
            body, came = came[:size], came[size:]
            if len(body) < size:
                raise Found(f"half a body: {head!r:.300}")
        if body:
            _check(status, headers.get("content-type", ""), body)
        elif status >= 500 and status not in _REFUSALS:
            raise Found(f"status {status}")
    if came:
        raise Found(f"what is no answer: {came!r:.300}")
    return count


def _check(status: int, content_type: str, body: bytes) -> None:
    if status >= 500 and status not in _REFUSALS:
        raise Found(f"status {status}: {body!r:.500}")
    if status >= 400:
        answer: Any = json.loads(body) if "json" in content_type else None
        words = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(words, str) or not words or len(words) > 1500 or "Traceback" in words:
            raise Found(f"no error for a user: {status} {content_type} {body!r:.500}")
