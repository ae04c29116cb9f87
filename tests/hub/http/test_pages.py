"""The hub's own pages, and what every route has in common."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.ports.conditions import Caution, Reason
from homeport_protocol.schemas import asyncapi, openapi
from homeport_protocol.timestamps import parse_timestamp
from hub.http.app import App
from tests.hub.http.asgi import call
from tests.hub.http.conftest import Ask
from tests.hub.http.fakes import FakeHub

ROUTES: dict[str, set[str]] = {
    "/": {"GET"},
    "/agents": {"GET"},
    "/agents/register": {"POST"},
    "/agents/pick": {"GET"},
    "/agents/x": {"GET", "DELETE"},
    "/agents/type/cost": {"GET"},
    "/agents/x/heartbeat": {"POST"},
    "/agents/x/unregister": {"POST"},
    "/health": {"GET"},
    "/ready": {"GET"},
    "/metrics": {"GET"},
    "/openapi.json": {"GET"},
    "/asyncapi.json": {"GET"},
    "/ws": {"GET"},
}
READS = sorted(path for path, methods in ROUTES.items() if "GET" in methods)


async def test_health_is_the_documented_body_even_when_the_hub_is_not_ready(
    hub: FakeHub, ask: Ask
) -> None:
    hub.reasons = [Reason("store_away", "Redis is away")]
    answer = await ask("GET", "/health")
    assert answer.status == 200
    body = answer.json()
    assert list(body) == ["status", "service", "timestamp"]
    assert (body["status"], body["service"]) == ("healthy", "orchestrator")
    assert body["timestamp"].endswith("Z")
    assert parse_timestamp(body["timestamp"]) > 0


async def test_ready_is_200_until_there_is_a_reason_against_it(hub: FakeHub, ask: Ask) -> None:
    hub.warned = [Caution("mass_loss", "12 of 40 agents were lost at once")]
    answer = await ask("GET", "/ready")
    assert answer.status == 200
    assert answer.json() == {
        "status": "ready",
        "hub": "hub-1",
        "version": "9.9.9",
        "warnings": ["12 of 40 agents were lost at once"],
    }
    hub.reasons = [Reason("store_away", "Redis is away"), Reason("not_loaded", "not loaded")]
    answer = await ask("GET", "/ready")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "error": "not ready: Redis is away; not loaded",
        "status": "not ready",
        "reasons": ["Redis is away", "not loaded"],
    }


async def test_the_index_links_to_pages_that_are_there(ask: Ask) -> None:
    index = (await ask("GET", "/")).json()
    assert (index["service"], index["version"], index["hub"]) == ("homeport", "9.9.9", "hub-1")
    for target in index["links"].values():
        assert (await ask("GET", target)).status in (200, 426)


async def test_the_documents_are_served_as_they_are_generated(ask: Ask) -> None:
    assert (await ask("GET", "/openapi.json")).json() == openapi()
    assert (await ask("GET", "/asyncapi.json")).json() == asyncapi()


async def test_metrics_are_prometheus_text_and_count_routes_not_agents(ask: Ask) -> None:
    await ask("GET", "/agents/some-agent-id")
    await ask("GET", "/no-such-path")
    answer = await ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    counted = 'homeport_http_requests_total{method="GET",route="%s",status="4xx"} 1.0'
    assert counted % "/agents/{id}" in lines
    assert counted % "unmatched" in lines
    assert b"some-agent-id" not in answer.body
    assert b"no-such-path" not in answer.body


async def test_a_plain_request_for_the_websocket_is_426(ask: Ask) -> None:
    answer = await ask("GET", "/ws")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"] == "upgrade"
    assert "websocket" in answer.error


@pytest.mark.parametrize("target", READS)
async def test_head_has_the_headers_of_get_and_no_body(ask: Ask, target: str) -> None:
    get = await ask("GET", target)
    head = await ask("HEAD", target)
    assert head.status == get.status
    assert head.body == b""
    assert head.headers.keys() == get.headers.keys()
    if target != "/metrics":  # whose figures have moved on by then
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (target, method)
        for target, methods in ROUTES.items()
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
        if method not in methods and not (method == "HEAD" and "GET" in methods)
    ],
)
async def test_a_wrong_method_is_405_and_told_the_right_ones(
    ask: Ask, target: str, method: str
) -> None:
    answer = await ask(method, target)
    assert answer.status == 405
    expected = ROUTES[target] | ({"HEAD"} if "GET" in ROUTES[target] else set())
    assert set(answer.headers["allow"].split(", ")) == expected
    if method != "HEAD":
        assert method in answer.error


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "target",
    ["/nope", "/agents/x/y", "/agents/x/heartbeat/y", "/agents//", "/Agents", "/ws/x", ""],
)
async def test_an_unknown_route_is_404(ask: Ask, method: str, target: str) -> None:
    answer = await ask(method, target)
    assert answer.status == 404
    if method == "HEAD":
        assert answer.body == b""
    else:
        assert answer.error == "no such route; /openapi.json lists them all"


@pytest.mark.parametrize("target", [target for target in READS if target != "/"])
async def test_a_trailing_slash_is_served_without_a_redirect(ask: Ask, target: str) -> None:
    plain = await ask("GET", target)
    slash = await ask("GET", f"{target}/")
    assert slash.status == plain.status


async def test_a_post_with_a_trailing_slash_is_served_too(hub: FakeHub, ask: Ask) -> None:
    agent_id = hub.default.add(1)["id"]
    assert (await ask("POST", f"/agents/{agent_id}/heartbeat/", b"{}")).status == 200


@pytest.mark.parametrize("target", ["/health", "/ready", "/metrics", "/", "/agents/x"])
async def test_parameters_that_mean_nothing_are_ignored_where_nothing_is_filtered(
    ask: Ask, target: str
) -> None:
    plain = await ask("GET", target)
    assert (await ask("GET", f"{target}?_=123")).status == plain.status


async def test_a_fault_of_the_hub_is_logged_and_told_in_two_words(
    hub: FakeHub, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(hub, "not_ready_reasons", broken)
    with capture_logs() as logs:
        answer = await ask("GET", "/ready")
    assert (answer.status, answer.error) == (500, "internal error")
    assert logs[0]["log_level"] == "error"
    assert (logs[0]["method"], logs[0]["route"]) == ("GET", "/ready")


async def test_a_fault_outside_every_route_is_answered_as_plainly(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(hub.metrics, "http_answered", broken)
    app = App(hub)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health",
        "query_string": b"",
        "headers": [],
    }
    with capture_logs() as logs:
        await app(scope, receive, send)
    assert sent[0]["status"] == 500
    assert sent[1]["body"] == b'{"error":"internal error"}'
    assert [log["event"] for log in logs] == ["request_failed"]


async def test_every_documented_route_is_served_and_every_served_one_documented(
    hub: FakeHub,
) -> None:
    app = App(hub)
    served = {
        (resource.path, method)
        for resource in app.resources
        for method in resource.methods - {"HEAD"}
    }
    documented = {
        (path, method.upper())
        for path, item in openapi()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == documented


async def test_every_answer_has_a_status_that_the_document_knows(hub: FakeHub) -> None:
    app = App(hub)
    for path, item in openapi()["paths"].items():
        target = path.replace("{id}", "x").replace("{type}", "cost")
        for method, operation in item.items():
            if method == "parameters":
                continue
            answer = await call(app, method.upper(), target)
            assert answer is not None
            assert str(answer.status) in operation["responses"]
