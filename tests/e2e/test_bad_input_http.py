"""Whatever comes over HTTP, and what is not even that: `{"error"}`, and the hub lives on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import requests

from . import bad_values as bad
from .hubs import Hub, Place, new_namespace
from .wire import LIMIT, RefusedError, Wire

SOMEONE = "550e8400-e29b-41d4-a716-446655440000"
GOOD = {"name": "a", "type": "cost", "host": "a.example", "port": 1}


@pytest.fixture(scope="module")
def area(shared_hub: Hub) -> Iterator[Place]:
    place = Place(shared_hub, new_namespace())
    yield place
    place.end()


@pytest.fixture(scope="module")
def neighbour(area: Place) -> tuple[Wire, str]:
    wire, registered = area.agent("neighbour")
    return wire, registered["agent_id"]


@pytest.fixture(autouse=True)
def lives_on(area: Place, neighbour: tuple[Wire, str]) -> Iterator[None]:
    yield
    assert area.get("/health").status_code == 200
    wire, agent_id = neighbour
    assert wire.ask("heartbeat")["durable"] is True
    record = area.record(agent_id)
    assert record is not None
    assert (record["status"], record["epoch"]) == ("healthy", 1)


def assert_error(response: requests.Response, *statuses: int, naming: str = "") -> None:
    assert response.status_code in statuses, (response.status_code, response.text)
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert isinstance(body["error"], str)
    assert body["error"]
    assert naming in body["error"], body
    assert "Traceback" not in body["error"]
    assert len(response.content) < 2000, "an error does not send back what it was sent"


BROKEN_BODIES = {
    "none": b"",
    "blanks": b"  \r\n",
    "a word": b"hello",
    "half an object": b'{"name":"a","type":',
    "a comma too many": b'{"name":"a","type":"cost","host":"h","port":1,}',
    "null": b"null",
    "an array": b'[{"name":"a"}]',
    "a string": b'"a"',
    "a number": b"5",
    "a form": b"name=a&type=cost&host=h&port=1",
    "two objects": b"{}{}",
    "NaN": b'{"name":"a","type":"cost","host":"h","port":NaN,"status":NaN}',
    "bad UTF-8": b'{"name":"\xff","type":"cost","host":"h","port":1,"status":"\xff"}',
    "a lone surrogate": b'{"name":"\\ud800","type":"cost","host":"h","port":1,"status":"\\ud800"}',
    "a surrogate in UTF-8": b'{"name":"\xed\xa0\x80","status":"\xed\xa0\x80"}',
    "60,000 brackets": b"[" * 60_000,
    "brackets that close": b'{"metadata":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a number of 60,000 digits": b"9" * 60_000,
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
@pytest.mark.parametrize("path", ["/agents/register", "/agents/{id}/heartbeat"])
def test_a_broken_body_is_a_400(
    area: Place, neighbour: tuple[Wire, str], path: str, body: bytes
) -> None:
    response = area.post(path.format(id=neighbour[1]), data=body)
    assert_error(response, 400)


@pytest.mark.parametrize("path", ["/agents/register", f"/agents/{SOMEONE}/heartbeat"])
@pytest.mark.parametrize("size", [65_537, 100_000, 3_000_000])
def test_a_body_above_the_bound_is_refused(area: Place, path: str, size: int) -> None:
    assert_error(area.post(path, data=b"[" * size), 413, 400)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"]
)
def test_json_under_another_content_type_is_taken_as_the_legacy_service_took_it(
    area: Place, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = area.post("/agents/register", data=json.dumps(GOOD).encode(), headers=headers)
    assert response.status_code == 201, response.text


def registration(field: str, value: str) -> bytes:
    fields = {name: json.dumps(part) for name, part in GOOD.items()} | {field: value}
    return ("{" + ",".join(f'"{name}":{part}' for name, part in fields.items()) + "}").encode()


# An empty text or null for an optional field is what the legacy service's own callers send.
LENIENT = ('""', "null")
REGISTRATIONS = [
    (field, value)
    for field, rows in {**bad.AGENT, "agent_id": bad.AGENT_ID}.items()
    for value, _ in rows
    if not (field in ("status", "agent_id") and value in LENIENT)
]


@pytest.mark.parametrize(
    ("field", "value"), REGISTRATIONS, ids=[f"{n}-{r[0]}" for n, r in enumerate(REGISTRATIONS)]
)
def test_a_wrong_field_of_a_registration_is_a_400_that_names_it(
    area: Place, field: str, value: str
) -> None:
    response = area.post("/agents/register", data=registration(field, value))
    assert_error(response, 400, naming=field)
    assert "agent." not in response.json()["error"], "there is no `agent` in the body"


@pytest.mark.parametrize("field", ["name", "type", "host", "port"])
def test_a_missing_field_of_a_registration_is_a_400_that_names_it(area: Place, field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    assert_error(area.post("/agents/register", json=body), 400, naming=field)
    assert_error(area.post("/agents/register", json={**body, field: None}), 400, naming=field)


@pytest.mark.parametrize("host", ["h:", "h:x", "h:65536", ":80", "h:-1", "h:1:2", "h: 80", "::1"])
def test_a_host_that_is_not_name_and_port_does_not_stand_for_both(area: Place, host: str) -> None:
    body = {"name": "a", "type": "cost", "host": host}
    assert_error(area.post("/agents/register", json=body), 400, naming="port")


HEARTBEATS = [("status", v) for v, _ in bad.STATUS if v not in LENIENT]
HEARTBEATS += [("metadata", v) for v, _ in bad.METADATA]


@pytest.mark.parametrize(
    ("field", "value"), HEARTBEATS, ids=[f"{n}-{row[0]}" for n, row in enumerate(HEARTBEATS)]
)
def test_a_wrong_field_of_a_heartbeat_is_a_400_that_names_it(
    area: Place, field: str, value: str
) -> None:
    agent_id = area.register(name="beating")
    before = area.record(agent_id)
    response = area.post(f"/agents/{agent_id}/heartbeat", data=f'{{"{field}":{value}}}'.encode())
    assert_error(response, 400, naming=field)
    assert area.record(agent_id) == before, "a refused heartbeat changes nothing"


def test_metadata_may_not_grow_past_its_bound_by_heartbeats(area: Place) -> None:
    agent_id = area.register(metadata={"a": "x" * 9_000})
    body = {"metadata": {"b": "x" * 9_000}, "status": "degraded"}
    assert_error(area.post(f"/agents/{agent_id}/heartbeat", json=body), 400, naming="metadata")
    record = area.record(agent_id)
    assert record is not None
    assert list(record["metadata"]) == ["a"]
    assert record["status"] == "healthy"


@pytest.mark.parametrize(
    "agent_id", [SOMEONE, "x", "0", "register", "%00", "%ff", "..%2f", "a" * 5000]
)
def test_a_heartbeat_of_an_unknown_id_is_a_404(area: Place, agent_id: str) -> None:
    assert_error(area.post(f"/agents/{agent_id}/heartbeat", json={"status": "healthy"}), 404)


@pytest.mark.parametrize("agent_id", [SOMEONE, "x", "%00", "%ff", "a b", "é", "a" * 5000])
def test_an_unknown_agent_is_a_404_in_the_documented_words(area: Place, agent_id: str) -> None:
    response = area.get(f"/agents/{agent_id}")
    assert response.status_code == 404
    assert response.json() == {"error": "Agent not found"}


BAD_QUERIES = {
    "limit=0": "limit",
    "limit=-1": "limit",
    "limit=x": "limit",
    "limit=": "limit",
    "limit=1.5": "limit",
    "limit=10001": "limit",
    f"limit={bad.LONG_NUMBER}": "limit",
    "status=fine": "status",
    "status=healthy&status=fine": "status",
    "version=not+a+version": "version",
    "version=%3E%3Dx": "version",
    "typ=cost": "typ",
    "Type=cost": "Type",
    "metadata=x": "metadata",
}


@pytest.mark.parametrize("path", ["/agents", "/agents/pick", "/agents/type/cost"])
@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_wrong_query_parameter_is_a_400_that_names_it(area: Place, path: str, query: str) -> None:
    assert_error(area.get(f"{path}?{query}"), 400, naming=BAD_QUERIES[query][:40])


@pytest.mark.parametrize(
    ("query", "field"),
    [("strategy=best", "strategy"), ("strategy=", "strategy"), ("strategy=sticky", "key")],
)
def test_a_wrong_strategy_is_a_400_that_names_it(area: Place, query: str, field: str) -> None:
    assert_error(area.get(f"/agents/pick?{query}"), 400, naming=field)


UNKNOWN_ROUTES = [
    ("GET", "/nope"),
    ("POST", "/nope"),
    ("GET", "/agents/a/b/c"),
    ("GET", f"/agents/{SOMEONE}/nope"),
    ("POST", f"/agents/{SOMEONE}/nope"),
    ("GET", "/wss"),
    ("GET", "/%00"),
    ("GET", "/%ff%fe"),
    ("GET", "/..%2f..%2fetc/passwd"),
    ("GET", "/" + "a" * 8000),
    ("GET", "//agents"),
    ("GET", "/AGENTS"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN_ROUTES, ids=range(len(UNKNOWN_ROUTES)))
def test_an_unknown_route_is_a_404(area: Place, method: str, path: str) -> None:
    assert_error(area.request(method, path), 404)


WRONG_METHODS = [
    ("GET", f"/agents/{SOMEONE}/heartbeat"),
    ("GET", f"/agents/{SOMEONE}/unregister"),
    ("PUT", f"/agents/{SOMEONE}/heartbeat"),
    ("DELETE", f"/agents/{SOMEONE}"),
    ("PATCH", f"/agents/{SOMEONE}"),
    ("POST", "/agents"),
    ("DELETE", "/agents"),
    ("PUT", "/agents/register"),
    ("POST", "/agents/type/cost"),
    ("POST", "/health"),
    ("POST", "/ready"),
    ("POST", "/metrics"),
    ("DELETE", "/openapi.json"),
    ("NONSENSE", "/agents"),
]


@pytest.mark.parametrize(("method", "path"), WRONG_METHODS, ids=range(len(WRONG_METHODS)))
def test_a_wrong_method_is_a_405_that_says_what_is_allowed(
    area: Place, method: str, path: str
) -> None:
    response = area.request(method, path)
    # A method that HTTP does not know may already be refused as no HTTP.
    assert_error(response, *((405, 400, 501) if method == "NONSENSE" else (405,)))
    if response.status_code == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize("name", ["", "a b", "a{b}", "-x", "x" * 64, "é", "a:b", "a/b", "a\x7f"])
@pytest.mark.parametrize("where", ["header", "query"])
def test_a_namespace_that_is_no_name_is_refused(area: Place, name: str, where: str) -> None:
    if where == "header":
        headers = {"Homeport-Namespace": name.encode()}
        response = requests.get(area.hub.url + "/agents", headers=headers, timeout=LIMIT)
    else:
        query = {"namespace": name}
        response = requests.get(area.hub.url + "/agents", params=query, timeout=LIMIT)
    if name == "":
        # Nothing given: the default namespace.
        assert response.status_code in (200, 400)
        return
    # A control character in a header is no HTTP at all.
    assert_error(response, 400, naming="" if name == "a\x7f" else "amespace")


@pytest.mark.parametrize("name", ["a b", "a{b}", "x" * 64])
def test_a_websocket_of_a_namespace_that_is_no_name_is_refused(area: Place, name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        Wire(area.hub.url, namespace=name)
    assert refused.value.status == 400
    assert "error" in json.loads(refused.value.body)


def test_a_websocket_on_another_path_is_refused(area: Place) -> None:
    for path in ("/", "/agents", "/ws/x", "/nope"):
        with pytest.raises(RefusedError) as refused:
            Wire(area.hub.url, path=path)
        assert refused.value.status in (400, 404, 405, 426), path


def test_plain_http_on_the_websocket_path_is_told_what_to_do(area: Place) -> None:
    assert_error(area.get("/ws"), 426, 400)
    assert_error(area.post("/ws"), 405, 426, 400)


# -- not HTTP at all ----------------------------------------------------------------------------


def exchange(hub: Hub, data: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes and read until the hub hangs up; it must, within the limit."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=LIMIT) as connection:
        said = b""
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while True:
                part = connection.recv(65536)
                if not part:
                    return said
                said += part
        except (ConnectionResetError, BrokenPipeError):
            return said


GET = b"GET /health HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /agents/register HTTP/1.1\r\nHost: h\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
REFUSED = {
    "garbage": b"\x00\x01\x02\xff garbage\r\n\r\n",
    "a TLS hello": bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + b"\x00" * 500,
    "a Redis command": b"*1\r\n$4\r\nPING\r\n",
    "a version nobody knows": b"GET /health HTTP/9.9\r\nHost: h\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a length that is none": POST + b"Content-Length: x\r\n\r\n",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n",
    "a broken chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a websocket without a key": b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "a websocket of a wrong version": UPGRADE.replace(b"Version: 13", b"Version: 7") + b"\r\n",
    "a websocket by POST": UPGRADE.replace(b"GET", b"POST", 1) + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_http_is_refused_without_a_word_of_the_inside(area: Place, data: bytes) -> None:
    said = exchange(area.hub, data)
    assert b"Traceback" not in said
    if said:
        status = int(said.split(b" ", 2)[1])
        assert 400 <= status < 500 or status == 505, said
        body = said.partition(b"\r\n\r\n")[2]
        assert "error" in json.loads(body), said


HUGE = {
    "a huge header": GET + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "very many headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
    "a huge target": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "a header that never ends": GET + b"X-Big: " + b"x" * 3_000_000,
    "a huge header of a websocket": UPGRADE + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE.keys())
def test_huge_headers_are_refused_or_hung_up_on(area: Place, data: bytes) -> None:
    said = exchange(area.hub, data, half_close=False)
    if said:
        assert 400 <= int(said.split(b" ", 2)[1]) < 500, said[:200]


HALVES = {
    "nothing": b"",
    "half a line": b"GE",
    "half the headers": GET,
    "half a body": POST + b"Content-Length: 500\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "half a handshake": UPGRADE,
    "a handshake and no frame": UPGRADE + b"\r\n",
}


@pytest.mark.parametrize("data", HALVES.values(), ids=HALVES.keys())
def test_half_a_request_and_then_hanging_up_harms_nobody(area: Place, data: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", area.hub.port), timeout=LIMIT) as connection:
            connection.sendall(data)
    said = exchange(area.hub, data)
    assert b"Traceback" not in said
    assert area.get("/agents").json()["count"] >= 1


def test_a_length_and_chunks_together_do_not_smuggle_a_request(area: Place) -> None:
    smuggled = b"GET /agents HTTP/1.1\r\nHost: h\r\n\r\n"
    said = exchange(
        area.hub,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
    )
    assert said.startswith(b"HTTP/1.1 4"), said


def test_several_requests_on_one_connection_are_answered_in_order(area: Place) -> None:
    paths = [b"/health", b"/nope", b"/agents/x", b"/health"]
    requests_ = b"".join(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path for path in paths[:3])
    last = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    said = exchange(area.hub, requests_ + last, half_close=False)
    statuses = [int(part.split(b" ", 1)[0]) for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 404, 200]


def test_a_body_that_comes_drop_by_drop_is_taken(area: Place) -> None:
    body = json.dumps(GOOD).encode()
    head = b"POST /agents/register HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    head += b"Content-Length: %d\r\nHomeport-Namespace: drops\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", area.hub.port), timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + body:
            connection.send(bytes([byte]))
        said = b""
        while part := connection.recv(65536):
            said += part
    assert said.startswith(b"HTTP/1.1 201"), said
