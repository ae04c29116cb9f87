"""Headers of the user's own: which are sent, to whom, and that no value is ever shown."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from agent_client import (
    AgentClient,
    AgentRegistration,
    BadRequest,
    BadURL,
    CannotConnect,
    Forbidden,
    HubClient,
)
from agent_client.transport.headers import Headers, header_lines, headers_to_hub, user_headers
from agent_client.transport.urls import keeps_secrets, origin
from tests.agent_client.transport.test_http import answering, server
from tests.support.fake_hub import FakeHub
from tests.support.legacy_hub import LegacyHub

GATEWAY = {"Access-Client-Id": "me", "Access-Client-Secret": "s3cret: a=b; c"}


def sent(hub: FakeHub) -> list[tuple[str | None, str | None]]:
    """The two headers of the gateway in every handshake."""
    names = list(GATEWAY)
    return [(each.headers.get(names[0]), each.headers.get(names[1])) for each in hub.handshakes]


async def test_they_go_with_every_handshake(hub: FakeHub) -> None:
    async with (
        AgentClient(hub.url, name="cost-1", type="cost", headers=GATEWAY, token="t"),
        HubClient(hub.url, headers=GATEWAY, namespace="blue") as client,
        client.watch() as watch,
    ):
        await client.find()
        await anext(watch)
    assert sent(hub) == [("me", "s3cret: a=b; c")] * 3
    assert hub.handshakes[0].headers["Authorization"] == "Bearer t"
    assert hub.handshakes[1].headers["Homeport-Namespace"] == "blue"


async def test_they_come_from_the_environment_one_a_line(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n  Access-Client-Id: me\r\nAccess-Client-Secret:s3cret: a=b; c \n\n"
    monkeypatch.setenv("HOMEPORT_HEADERS", lines)
    async with HubClient(hub.url) as client, HubClient(hub.url, headers={}) as bare:
        await client.ping()
        await bare.ping()
    assert sent(hub) == [("me", "s3cret: a=b; c"), (None, None)]


def test_they_go_with_requests_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with LegacyHub() as hub:
        agent = AgentRegistration("a", "cost", "h", 1, [], hub.url, headers=GATEWAY)
        assert agent.register()
        agent.unregister()
        monkeypatch.setenv("HOMEPORT_HEADERS", "Access-Client-Id: other")
        assert AgentRegistration("a", "cost", "h", 1, [], hub.url).register()
    ids = [headers["Access-Client-Id"] for _, _, headers, *_ in hub.calls]
    assert ids == ["me", "me", "other"]


async def test_a_redirect_to_the_same_origin_takes_them_along(hub: FakeHub) -> None:
    hub.handshake = (307, "", {"Location": "/elsewhere/ws"})

    async with HubClient(hub.url, headers=GATEWAY) as client:
        with pytest.raises(CannotConnect, match="redirects without end"):
            await client.ping()
    assert [each.path for each in hub.handshakes[:2]] == ["/ws", "/elsewhere/ws"]
    assert set(sent(hub)) == {("me", "s3cret: a=b; c")}


async def test_a_redirect_to_another_origin_gets_none_of_them(hub: FakeHub, other: FakeHub) -> None:
    hub.handshake = (302, "", {"Location": f"{other.url}/ws"})
    for options in ({"headers": GATEWAY}, {"token": "t"}, {"namespace": "blue"}):
        async with HubClient(hub.url, **options) as client:
            with pytest.raises(
                BadURL, match=f"redirects to ws://127.0.0.1:{other.port}/ws, another"
            ):
                await client.ping()
    assert other.handshakes == []
    async with HubClient(hub.url) as client:
        await client.ping()  # there is nothing to keep from it


def test_over_http_another_origin_gets_none_of_them(caplog: pytest.LogCaptureFixture) -> None:
    with LegacyHub() as other, server(answering(308, Location=f"{other.url}/r")) as (hub, _):
        agent = AgentRegistration("a", "cost", "h", 1, [], hub, headers=GATEWAY)
        assert not agent.register()
    assert other.calls == []
    assert "another origin, to which Access-client-id is not sent" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("http://hub:8080/a", "ws://HUB:8080/b", True),
        ("http://hub", "https://hub", True),
        ("https://hub:443", "wss://hub", True),
        ("http://hub:8080", "https://hub", False),
        ("http://hub", "https://hub:8443", False),
        ("http://hub:8080", "http://hub:8081", False),
        ("http://hub", "http://other", False),
        ("https://hub", "http://hub", False),
    ],
)
def test_secrets_stay_at_one_origin_or_go_to_its_tls(before: str, after: str, kept: bool) -> None:
    assert keeps_secrets(origin(before), origin(after)) is kept


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Bad Name": "s3cret"}, "Bad"),
        ({"Bad\r\nName": "s3cret"}, "Bad"),
        ({"": "s3cret"}, "header 1"),
        ({7: "s3cret"}, "header 1"),
        ({"Accès": "s3cret"}, "Acc"),
        ({"X-Key": "s3cret\r\nHost: evil"}, "X-Key"),
        ({"X-Key": "s3cret\n"}, "X-Key"),
        ({"X-Key": " s3cret"}, "X-Key"),
        ({"X-Key": "s3cret\x00"}, "X-Key"),
        ({"X-Key": "s3cretü"}, "X-Key"),
        ({"X-Key": b"s3cret"}, "X-Key"),
        ({"X-Key": None}, "X-Key"),
        ({"X-Key": "1", "x-key": "s3cret"}, "x-key"),
        ({"Host": "s3cret"}, "Host"),
        ({"upgrade": "s3cret"}, "upgrade"),
        ({"Connection": "s3cret"}, "Connection"),
        ({"Sec-WebSocket-Protocol": "s3cret"}, "Sec-WebSocket-Protocol"),
        ({"Content-Length": "5"}, "Content-Length"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
        ({"Proxy-Authorization": "s3cret"}, "Proxy-Authorization"),
        ({"Authorization": "s3cret"}, "Authorization"),
        ({"homeport-namespace": "s3cret"}, "namespace"),
        ([("X-Key", "s3cret")], "mapping"),
    ],
)
def test_one_that_cannot_be_sent_is_refused_at_once_by_its_name(headers: Any, named: str) -> None:
    makers = [
        lambda: HubClient(headers=headers, token="t", namespace="blue"),
        lambda: AgentClient(name="a", type="cost", headers=headers, token="t", namespace="blue"),
    ]
    for make in makers:
        with pytest.raises(BadRequest) as caught:
            make()
        assert named in caught.value.message
        assert caught.value.field == "headers"
        assert "s3cret" not in "".join(traceback.format_exception(caught.value, limit=0))


def test_without_a_token_the_authorization_is_the_user_s() -> None:
    assert headers_to_hub({"Authorization": "Basic abc"}) == {"Authorization": "Basic abc"}


def test_a_bad_line_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_HEADERS", "X-One: 1\n\nX-Two s3cret")
    with pytest.raises(BadRequest, match="HOMEPORT_HEADERS: header 2 is not of the form"):
        user_headers(None)
    monkeypatch.setenv("HOMEPORT_HEADERS", "X-Two s3cret: more")
    with pytest.raises(BadRequest, match="HOMEPORT_HEADERS: the name of header X-Two…") as caught:
        AgentRegistration("a", "cost", "h", 1, [])
    assert "s3cret" not in str(caught.value)
    with pytest.raises(BadRequest, match=r"^--header: Host is not one"):
        header_lines(["Host: x"], "--header")


async def test_no_value_is_ever_shown(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "s3cret" not in repr(Headers(GATEWAY)) + str(Headers(GATEWAY))
    assert repr(Headers(GATEWAY)) == "<headers: Access-Client-Id, Access-Client-Secret>"
    hub.handshake = (403, {"error": "no"}, {})
    async with HubClient(hub.url, headers=GATEWAY, token="t0ken") as client:
        with pytest.raises(Forbidden) as caught:
            await client.ping()
    shown = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    ours = [each for each in caplog.records if not each.name.startswith("websockets.server")]
    logged = "\n".join(each.getMessage() for each in ours)
    assert "> GET /ws" in logged
    assert "> Access-Client-Secret: (hidden)" in logged
    for secret in ("s3cret", "t0ken"):
        assert secret not in logged + str(caught.value) + shown
