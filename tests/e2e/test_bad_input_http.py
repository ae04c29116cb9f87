"""Bad requests over HTTP: `{"error"}`, and the hub lives on."""

from __future__ import annotations

import json

import pytest
import requests

from tests.e2e.records import SOMEONE
from tests.support import bad_values as bad
from tests.support.hub_process import Place
from tests.support.neighbours import Neighbour, assert_refused
from tests.support.waiting import LIMIT
from tests.support.wire import RefusedError, Wire

pytestmark = pytest.mark.usefixtures("noticed_nothing")

GOOD = {"name": "a", "type": "cost", "host": "a.example", "port": 1}


BROKEN_BODIES = {
    "none": b"",
    "blanks": b"  \r\n",
    "a word": b"hello",
    "half an object": b'{"name":"a","type":',
    "a comma too many": b'{"name":"a","type":"cost","host":"h","port":1,}',
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
def test_a_broken_body_is_a_400(area: Place, neighbour: Neighbour, path: str, body: bytes) -> None:
    response = area.post(path.format(id=neighbour.id), data=body)
    assert_refused(response, 400)


def test_a_body_null_says_nothing(area: Place) -> None:
    assert_refused(area.post("/agents/register", data=b"null"), 400)
    body = b'{"name":"a","type":"cost","host":"h","port":1}'
    heartbeat_url = area.post("/agents/register", data=body).json()["heartbeat_url"]
    assert area.post(heartbeat_url, data=b"null").status_code == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_deletes_no_key(area: Place, number: str) -> None:
    metadata = {"temperature": 41.5, "deep": {"a": 1}}
    answer = area.post("/agents/register", json={**GOOD, "metadata": metadata}).json()
    for said in (f'{{"temperature":{number}}}', f'{{"deep":{{"a":[{number}]}}}}'):
        response = area.post(answer["heartbeat_url"], data=f'{{"metadata":{said}}}'.encode())
        assert_refused(response, 400)
    assert area.get(f"/agents/{answer['agent_id']}").json()["metadata"] == metadata


@pytest.mark.parametrize("path", ["/agents/register", f"/agents/{SOMEONE}/heartbeat"])
@pytest.mark.parametrize("size", [65_537, 100_000, 3_000_000])
def test_a_body_above_the_bound_is_refused(area: Place, path: str, size: int) -> None:
    assert_refused(area.post(path, data=b"[" * size), 413, 400)


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


# An empty text or null for an optional field is what the legacy service's own callers send. It took
# empty capabilities, and ignored a status.
LENIENT = ('""', "null", '[""]', "[null]")
REGISTRATIONS = [
    (field, value)
    for field, rows in {**bad.AGENT, "agent_id": bad.AGENT_ID}.items()
    for value, _ in rows
    if field != "status" and not (field in ("agent_id", "capabilities") and value in LENIENT)
]


@pytest.mark.parametrize(
    ("field", "value"), REGISTRATIONS, ids=[f"{n}-{r[0]}" for n, r in enumerate(REGISTRATIONS)]
)
def test_a_wrong_field_of_a_registration_is_a_400_that_names_it(
    area: Place, field: str, value: str
) -> None:
    response = area.post("/agents/register", data=registration(field, value))
    assert_refused(response, 400, naming=field)
    assert "agent." not in response.json()["error"], "there is no `agent` in the body"


@pytest.mark.parametrize("field", ["name", "type", "host", "port"])
def test_a_missing_field_of_a_registration_is_a_400_that_names_it(area: Place, field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    assert_refused(area.post("/agents/register", json=body), 400, naming=field)
    assert_refused(area.post("/agents/register", json={**body, field: None}), 400, naming=field)


@pytest.mark.parametrize("host", ["h:", "h:x", "h:65536", ":80", "h:-1", "h:1:2", "h: 80", "::1"])
def test_a_host_that_is_not_name_and_port_does_not_stand_for_both(area: Place, host: str) -> None:
    body = {"name": "a", "type": "cost", "host": host}
    assert_refused(area.post("/agents/register", json=body), 400, naming="port")


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
    assert_refused(response, 400, naming=field)
    assert area.record(agent_id) == before, "a refused heartbeat changes nothing"


def test_metadata_may_not_grow_past_its_bound_by_heartbeats(area: Place) -> None:
    agent_id = area.register(metadata={"a": "x" * 9_000})
    body = {"metadata": {"b": "x" * 9_000}, "status": "degraded"}
    assert_refused(area.post(f"/agents/{agent_id}/heartbeat", json=body), 400, naming="metadata")
    record = area.record(agent_id)
    assert record is not None
    assert list(record["metadata"]) == ["a"]
    assert record["status"] == "healthy"


@pytest.mark.parametrize(
    "agent_id", [SOMEONE, "x", "0", "register", "%00", "%ff", "..%2f", "a" * 5000]
)
def test_a_heartbeat_of_an_unknown_id_is_a_404(area: Place, agent_id: str) -> None:
    assert_refused(area.post(f"/agents/{agent_id}/heartbeat", json={"status": "healthy"}), 404)


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
    assert_refused(area.get(f"{path}?{query}"), 400, naming=BAD_QUERIES[query][:40])


@pytest.mark.parametrize(
    ("query", "field"),
    [("strategy=best", "strategy"), ("strategy=", "strategy"), ("strategy=sticky", "key")],
)
def test_a_wrong_strategy_is_a_400_that_names_it(area: Place, query: str, field: str) -> None:
    assert_refused(area.get(f"/agents/pick?{query}"), 400, naming=field)


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
    assert_refused(area.request(method, path), 404)


WRONG_METHODS = [
    ("GET", f"/agents/{SOMEONE}/heartbeat"),
    ("GET", f"/agents/{SOMEONE}/unregister"),
    ("PUT", f"/agents/{SOMEONE}/heartbeat"),
    ("PUT", f"/agents/{SOMEONE}"),
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
    assert_refused(response, *((405, 400, 501) if method == "NONSENSE" else (405,)))
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
    assert_refused(response, 400, naming="" if name == "a\x7f" else "amespace")


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
    assert_refused(area.get("/ws"), 426, 400)
    assert_refused(area.post("/ws"), 405, 426, 400)
