"""The routes under /tokens."""

from __future__ import annotations

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.tokens import TokenRequest
from hub.http.app import App
from tests.hub.http.asgi import call
from tests.hub.http.fakes import FACTS, FakeHub
from tests.hub.http.test_permissions import Knowing

ID = FACTS.id
ROUTES = [("GET", "/tokens"), ("POST", "/tokens"), ("GET", f"/tokens/{ID}")]
ROUTES += [("DELETE", f"/tokens/{ID}")]


async def test_an_operator_makes_lists_shows_and_revokes_tokens(hub: FakeHub) -> None:
    app = App(hub)
    body = b'{"role":"agent","names":["web-*"],"namespace":"blue","ttl":60,"uses":1,"note":"n"}'
    made = await call(app, "POST", "/tokens", body)
    assert made is not None
    assert made.status == 201
    assert made.json()["token"] == "hp1_made-up"
    listed = await call(app, "GET", "/tokens")
    assert listed is not None
    assert [each["id"] for each in listed.json()["tokens"]] == [ID]
    for method in ("GET", "DELETE"):
        answer = await call(app, method, f"/tokens/{ID}")
        assert answer is not None
        assert (answer.status, answer.json()["id"]) == (200, ID)
    assert hub.tokens is not None
    wanted = TokenRequest(
        role="agent", names=["web-*"], namespace="blue", ttl=60.0, uses=1, note="n"
    )
    assert hub.tokens.asked == [wanted, "all", ("show", ID), ("revoke", ID)]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_operator_of_one_namespace_may_not(hub: FakeHub, method: str, path: str) -> None:
    hub.authenticator = Knowing(Principal(id="token:o", role="operator", namespace="blue"))
    answer = await call(App(hub), method, path, b'{"role":"operator"}')
    assert answer is not None
    assert answer.status == 403
    assert hub.tokens is not None
    assert hub.tokens.asked == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_where_nobody_is_asked_for_a_token_nobody_makes_one_to_keep(
    hub: FakeHub, method: str, path: str
) -> None:
    hub.tokens = None
    answer = await call(App(hub), method, path, b'{"role":"operator"}')
    assert answer is not None
    assert answer.status == 403
    assert "homeport token create" in answer.error


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"role":"king"}', "role"),
        ("{}", "role"),
        ('{"role":"agent","names":[]}', "names"),
        ('{"role":"agent","names":["' + "x" * 129 + '"]}', "names"),
        ('{"role":"agent","names":[' + ",".join(['"x"'] * 65) + "]}", "names"),
        ('{"role":"agent","ttl":0}', "ttl"),
        ('{"role":"agent","ttl":315360001}', "ttl"),
        ('{"role":"agent","uses":0}', "uses"),
        ('{"role":"agent","namespace":"a b"}', "namespace"),
        ('{"role":"agent","note":"' + "x" * 257 + '"}', "note"),
        ('{"role":"agent","nots":1}', "nots"),
    ],
)
async def test_what_is_out_of_bounds_is_named(hub: FakeHub, body: str, field: str) -> None:
    answer = await call(App(hub), "POST", "/tokens", body.encode())
    assert answer is not None
    assert answer.status == 400
    assert field in answer.error
    assert hub.tokens is not None
    assert hub.tokens.asked == []


async def test_a_token_in_the_place_of_its_id_is_refused_and_not_repeated(hub: FakeHub) -> None:
    for value in ("hp1_4k2m9x7q1zab_secret", "4K2M9X7Q1ZAB", "4k2m"):
        answer = await call(App(hub), "DELETE", f"/tokens/{value}")
        assert answer is not None
        assert answer.status == 400
        assert value not in answer.error
