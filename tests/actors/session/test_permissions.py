"""What each role may do over a websocket: every request, against the table of the contract."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from actors.rules.permissions import MAY, Principal
from actors.session.acts import ACTS
from homeport_protocol.bounds import Role
from homeport_protocol.requests import OPS, Request
from tests.support.world import World

AGENT = {"name": "cost-1", "type": "cost"}
FIELDS: dict[str, dict[str, Any]] = {
    "register": {"agent": AGENT},
    "resume": {"agent_id": "00000000-0000-4000-8000-000000000001", "session_token": "none"},
    "get": {"agent_id": "00000000-0000-4000-8000-000000000001"},
    "remove": {"agent_id": "00000000-0000-4000-8000-000000000001"},
    "unwatch": {"watch": 1},
}
READS = {"find", "flapping", "get", "hubs", "ping"}
ALLOWED: dict[Role, set[str]] = {
    "agent": READS | {"register", "resume", "heartbeat", "update", "unregister"},
    "observer": READS | {"watch", "unwatch"},
    "caller": READS | {"watch", "unwatch", "pick"},
    "operator": set(OPS),
}


def principal(role: Role, name: str = "a", **more: Any) -> Principal:
    return Principal(id=f"token:{name}", role=role, **more)


def test_each_request_has_its_act() -> None:
    assert set(ACTS) == set(get_args(Request))
    assert {act for act in ACTS.values() if act is not None} <= set(MAY)


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("op", sorted(OPS))
def test_a_role_may_ask_for_what_the_contract_says(role: Role, op: str) -> None:
    world = World()
    link = world.connect(principal(role))
    answer = link.ask(op=op, **FIELDS.get(op, {}))
    if op in ALLOWED[role]:
        assert answer.get("code") != "forbidden"
        return
    assert (answer["op"], answer["code"], answer["retryable"]) == ("error", "forbidden", False)
    assert f'the role "{role}" may not' in answer["message"]
    assert '"operator"' in answer["message"]
    assert link.ask(op="ping")["op"] == "pong", "the connection lives"
    assert len(world.supervisor.directory) == 0


def test_an_agent_registers_only_names_that_its_principal_allows() -> None:
    world = World()
    spot = principal("agent", names=("spot-*", "batch"))
    answer = world.connect(spot).ask(op="register", agent=AGENT)
    assert (answer["code"], answer["field"]) == ("forbidden", "agent.name")
    assert "spot-*, batch" in answer["message"]
    refused = world.http_register("cost-1", principal=spot)
    assert (refused.code, refused.field) == ("forbidden", "name")
    assert len(world.supervisor.directory) == 0
    world.agent("spot-1", principal=spot)
    assert world.http_register("batch", principal=spot).epoch > 0
    assert len(world.supervisor.directory) == 2
