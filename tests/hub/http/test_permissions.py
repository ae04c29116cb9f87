"""What each role may do over HTTP: every route and method, against the table of the contract."""

from __future__ import annotations

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.bounds import Role
from hub.http.app import App
from hub.net.caller import NobodyAsked, Shown
from tests.hub.http.asgi import call
from tests.hub.http.fakes import FakeHub

ANYBODY_MAY = {"/", "/health", "/ready", "/openapi.json", "/asyncapi.json", "/ws"}
ANYBODY_MAY |= {"/login", "/logout"}
READS = {"GET /agents", "GET /agents/{id}", "GET /agents/type/{type}", "GET /metrics"}
ALLOWED: dict[Role, set[str]] = {
    "agent": READS
    | {
        "POST /agents/register",
        "POST /agents/{id}/heartbeat",
        "POST /agents/{id}/unregister",
    },
    "observer": READS,
    "caller": READS | {"GET /agents/pick"},
}
ROUTES = [
    (method, each.path)
    for each in App(FakeHub()).resources
    for method in sorted(each.methods)
    if each.path not in ANYBODY_MAY
]


class Knowing(NobodyAsked):
    """Knows everybody as the one principal."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    def recognise(self, shown: Shown) -> Principal | None:
        return self.principal


@pytest.mark.parametrize("role", [*ALLOWED, "operator"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_role_may_use_the_routes_that_the_contract_says(
    hub: FakeHub, role: Role, method: str, path: str
) -> None:
    hub.authenticator = Knowing(Principal(id="token:a", role=role))
    answer = await call(App(hub), method, path.replace("{id}", "x").replace("{type}", "cost"))
    assert answer is not None
    route = f"{'GET' if method == 'HEAD' else method} {path}"
    if role == "operator" or route in ALLOWED[role]:
        assert answer.status != 403
        return
    assert answer.status == 403
    assert hub.default.asked == [], "the hub was asked nothing"
    if method != "HEAD":
        assert f'the role "{role}" may not' in answer.error
