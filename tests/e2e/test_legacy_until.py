"""A fleet of legacy helpers gets its tokens one by one, and none is refused meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import StartHub, StartServer
from tests.support.hub_process import Hub
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}
FAR = "2999-01-01"

Start = Callable[..., Hub]


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def tokens(server: RedisServer) -> dict[str, str]:
    return make_tokens(
        server.url, agent={"role": "agent"}, other={"role": "agent"}, operator={"role": "operator"}
    )


@pytest.fixture
def start(server: RedisServer, tokens: dict[str, str], start_hub: StartHub) -> Start:
    return lambda *options: start_hub("--redis", server.url, "--auth", "required", *options)


def call(hub: Hub, method: str, path: str, token: str = "", **options: Any) -> requests.Response:
    headers = {**(bearer(token) if token else {}), **options.pop("headers", {})}
    return requests.request(method, hub.url + path, headers=headers, timeout=LIMIT, **options)


def test_callers_of_the_legacy_routes_need_no_token_and_go_on_with_one(
    start: Start, tokens: dict[str, str]
) -> None:
    hub, agent, operator = start("--legacy-until", FAR), tokens["agent"], tokens["operator"]
    registered = call(hub, "POST", "/agents/register", json=AGENT)
    assert registered.status_code == 201
    agent_id = registered.json()["agent_id"]
    beat = f"/agents/{agent_id}/heartbeat"
    assert call(hub, "POST", beat, json={}).status_code == 200
    for path in ("/agents", f"/agents/{agent_id}", "/agents/type/cost"):
        assert call(hub, "GET", path).status_code == 200
    assert call(hub, "POST", beat, agent, json={}).status_code == 200, "in the middle of its life"
    body = {**AGENT, "agent_id": agent_id}
    assert call(hub, "POST", "/agents/register", agent, json=body).status_code == 201
    assert call(hub, "POST", beat, json={}).status_code == 403, "it is the token's from now on"
    assert call(hub, "POST", f"/agents/{agent_id}/unregister").status_code == 403
    assert call(hub, "POST", "/agents/register", json=body).status_code == 403
    assert call(hub, "POST", beat, agent, json={}).status_code == 200
    second = call(hub, "POST", "/agents/register", json=AGENT).json()["agent_id"]
    assert call(hub, "POST", f"/agents/{second}/unregister").status_code == 200
    warnings = call(hub, "GET", "/ready", operator).json()["warnings"]
    assert warnings == [
        "10 requests without a token were taken since the hub started, and such requests are until "
        f"{FAR} (legacy_until)"
    ]
    metrics = call(hub, "GET", "/metrics", operator).text
    assert 'homeport_authentications_total{result="legacy"} 10.0' in metrics
    assert 'homeport_warning{warning="legacy_callers"} 1.0' in metrics


def test_nothing_else_is_open(start: Start) -> None:
    hub = start("--legacy-until", FAR)
    agent_id = call(hub, "POST", "/agents/register", json=AGENT).json()["agent_id"]
    for method, path in (
        ("DELETE", f"/agents/{agent_id}"),
        ("GET", "/agents/pick"),
        ("GET", "/metrics"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
    ):
        assert call(hub, method, path, json={}).status_code == 401, path
    with pytest.raises(RefusedError) as refused:
        Wire(hub.url)
    assert refused.value.status == 401
    wrong = {"Authorization": "Bearer hp1_wrong"}
    assert call(hub, "GET", "/agents", headers=wrong).status_code == 401
    blue = {"Homeport-Namespace": "blue"}
    assert call(hub, "GET", "/agents", headers=blue).status_code == 403
    rebound = {"Host": "evil.example"}
    assert call(hub, "GET", "/agents", headers=rebound).status_code == 421, "who is asked nothing"
    foreign = {"Origin": "https://evil.example"}
    assert call(hub, "POST", "/agents/register", headers=foreign, json=AGENT).status_code == 403


def test_a_websocket_agent_of_a_token_is_out_of_reach(start: Start, tokens: dict[str, str]) -> None:
    hub = start("--legacy-until", FAR)
    wire = Wire(hub.url, headers=bearer(tokens["other"]))
    agent_id = wire.register("cost-1")["agent_id"]
    body = {**AGENT, "agent_id": agent_id}
    assert call(hub, "POST", "/agents/register", json=body).status_code == 403
    assert call(hub, "POST", f"/agents/{agent_id}/heartbeat", json={}).status_code == 403
    assert wire.ask("heartbeat")["durable"] is True
    wire.drop()


def test_from_the_date_on_they_are_refused(start: Start, tokens: dict[str, str]) -> None:
    date = datetime.fromtimestamp(time.time() + 6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    hub = start("--legacy-until", date)
    wait_until(lambda: call(hub, "POST", "/agents/register", json=AGENT).status_code == 401)
    assert datetime.fromisoformat(date).timestamp() <= time.time()
    assert call(hub, "POST", "/agents/register", tokens["agent"], json=AGENT).status_code == 201
    assert call(hub, "GET", "/ready", tokens["operator"]).json()["warnings"] == []


def test_the_date_can_be_moved_without_a_restart(
    start: Start, tmp_path: Path, tokens: dict[str, str]
) -> None:
    config = tmp_path / "homeport.toml"
    config.write_text("")
    hub = start("--config", str(config))
    assert call(hub, "GET", "/agents").status_code == 401
    config.write_text(f'legacy_until = "{FAR}"')
    hub.signal(signal.SIGHUP)
    wait_until(lambda: call(hub, "GET", "/agents").status_code == 200)
    config.write_text("")
    hub.signal(signal.SIGHUP)
    wait_until(lambda: call(hub, "GET", "/agents").status_code == 401)


@pytest.mark.parametrize("date", ["2027-02-30", "tomorrow", "2027-1-1", "2027-01-01T00:00"])
def test_what_is_no_date_is_refused(date: str, tmp_path: Path) -> None:
    hub = Hub(tmp_path, "--redis", "memory://", "--legacy-until", date)
    hub.launch()
    assert hub.wait(LIMIT) == 2
    assert "legacy-until" in hub.log()
    assert "2027-01-31" in hub.log()
    hub.end()
