"""Agents belong to the token that registered them, at every hub, over both transports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.conftest import StartHub, StartServer
from tests.support.hub_process import Hub
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens, revoke_token
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}
ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def tokens(server: RedisServer) -> dict[str, str]:
    return make_tokens(
        server.url,
        a={"role": "agent"},
        b={"role": "agent"},
        once={"role": "agent", "uses": 1},
        operator={"role": "operator"},
    )


@pytest.fixture
def hubs(server: RedisServer, tokens: dict[str, str], start_hub: StartHub) -> list[Hub]:
    options = ("--redis", server.url, "--auth", "required")
    return [start_hub(*options, "--hub-id", f"hub-{n}") for n in (1, 2, 3)]


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    wires: list[Wire] = []
    yield wires
    for wire in wires:
        wire.drop()


def call(hub: Hub, token: str, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, hub.url + path, headers=bearer(token), timeout=LIMIT, **options)


def known(hub: Hub, token: str, agent_id: str) -> bool:
    listed = call(hub, token, "GET", "/agents").json()["agents"]
    return any(agent["id"] == agent_id for agent in listed)


def test_another_token_changes_nothing_at_any_hub(
    hubs: list[Hub], tokens: dict[str, str], wires: list[Wire]
) -> None:
    a, b = tokens["a"], tokens["b"]
    polled = call(hubs[0], a, "POST", "/agents/register", json=AGENT).json()["agent_id"]
    wires.append(Wire(hubs[0].url, headers=bearer(a)))
    held = wires[0].register("cost-2", agent_id=ID)
    for hub in hubs:
        wait_until(lambda hub=hub: known(hub, b, polled) and known(hub, b, ID))
        for agent_id in (polled, ID):
            refused = [
                call(hub, b, "POST", "/agents/register", json={**AGENT, "agent_id": agent_id}),
                call(hub, b, "POST", f"/agents/{agent_id}/heartbeat", json={"status": "degraded"}),
                call(hub, b, "POST", f"/agents/{agent_id}/unregister"),
                call(hub, b, "DELETE", f"/agents/{agent_id}"),
            ]
            assert [each.status_code for each in refused] == [403] * 4
            wires.append(thief := Wire(hub.url, headers=bearer(b)))
            for op, fields in (
                ("register", {"agent": {"name": "x", "type": "cost"}, "agent_id": agent_id}),
                ("resume", {"agent_id": agent_id, "session_token": "made up"}),
                ("remove", {"agent_id": agent_id}),
            ):
                assert thief.ask(op, **fields)["code"] == "forbidden", op
    assert wires[0].ask("heartbeat")["durable"] is True
    assert call(hubs[2], a, "POST", f"/agents/{polled}/heartbeat", json={}).status_code == 200
    token = {"Homeport-Session-Token": held["session_token"], **bearer(b)}
    url = f"{hubs[1].url}/agents/{ID}/heartbeat"
    beat = requests.post(url, json={}, headers=token, timeout=LIMIT)
    assert beat.status_code == 200, "who shows the session token may"
    removed = call(hubs[1], tokens["operator"], "DELETE", f"/agents/{polled}")
    assert removed.status_code == 200


def test_a_token_of_one_use_joins_one_agent_which_goes_on(
    hubs: list[Hub], tokens: dict[str, str], wires: list[Wire]
) -> None:
    once = tokens["once"]
    wires.append(first := Wire(hubs[0].url, headers=bearer(once)))
    lease = first.register("cost-1")
    for hub in hubs:
        wires.append(wire := Wire(hub.url, headers=bearer(once)))
        refused = wire.ask("register", agent={"name": "cost-2", "type": "cost"})
        assert refused["code"] == "forbidden", refused
        assert call(hub, once, "POST", "/agents/register", json=AGENT).status_code == 403
    first.drop()
    wires.append(again := Wire(hubs[1].url, headers=bearer(once)))
    resumed = again.ask("resume", agent_id=lease["agent_id"], session_token=lease["session_token"])
    assert resumed["resumed"] is True


def test_a_registration_that_is_refused_gives_its_use_back(
    hubs: list[Hub], tokens: dict[str, str]
) -> None:
    once = tokens["once"]
    body = {**AGENT, "agent_id": ID, "metadata": {"large": "x" * 17_000}}
    assert call(hubs[0], once, "POST", "/agents/register", json=body).status_code == 400

    def joins() -> bool:
        answer = call(hubs[1], once, "POST", "/agents/register", json={**AGENT, "agent_id": ID})
        return answer.status_code == 201

    wait_until(joins)


def test_a_revoked_token_ends_its_sessions_and_those_of_its_agents_at_every_hub(
    hubs: list[Hub], tokens: dict[str, str], server: RedisServer, wires: list[Wire]
) -> None:
    a, b = tokens["a"], tokens["b"]
    wires += [Wire(hub.url, headers=bearer(a)) for hub in hubs]
    leases = [wire.register(f"cost-{n}") for n, wire in enumerate(wires)]
    wires[0].drop()
    wires[0] = Wire(hubs[1].url, headers=bearer(b))
    held = leases[0]["agent_id"], leases[0]["session_token"]
    resumed = wires[0].ask("resume", agent_id=held[0], session_token=held[1])
    assert resumed["resumed"] is True, "through another token"
    wires.append(other := Wire(hubs[0].url, headers=bearer(b)))
    revoke_token(server.url, a)
    for wire in wires[:3]:
        wait_until(lambda wire=wire: wire.listen(0.05) or wire.closed_at is not None)
        assert wire.close.code == 4401
    other.ping()
    with pytest.raises(RefusedError) as refused:
        Wire(hubs[2].url, headers=bearer(a))
    assert refused.value.status == 401
    assert call(hubs[2], a, "GET", "/agents").status_code == 401
    wait_until(lambda: call(hubs[0], a, "GET", "/agents").status_code == 401)  # it has heard, too
    again = other.ask("resume", agent_id=held[0], session_token=held[1])
    assert again["code"] == "forbidden"


def test_the_program_of_a_revoked_token_registers_its_ids_again_with_another_at_any_hub(
    hubs: list[Hub], tokens: dict[str, str], server: RedisServer, wires: list[Wire]
) -> None:
    a, b = tokens["a"], tokens["b"]
    wires.append(first := Wire(hubs[0].url, headers=bearer(a)))
    first.register("cost-2", agent_id=ID)
    body = {**AGENT, "agent_id": "22222222-2222-4222-8222-222222222222"}
    assert call(hubs[0], a, "POST", "/agents/register", json=body).status_code == 201
    assert call(hubs[1], b, "POST", "/agents/register", json=body).status_code == 403
    revoke_token(server.url, a)
    wait_until(lambda: call(hubs[1], a, "GET", "/agents").status_code == 401)
    wires.append(again := Wire(hubs[1].url, headers=bearer(b)))
    assert again.ask("register", agent={"name": "cost-2", "type": "cost"}, agent_id=ID)["epoch"]
    assert call(hubs[1], b, "POST", "/agents/register", json=body).status_code == 201
    assert again.ask("heartbeat")["durable"] is True
