"""What gives a client its token, and what is sent of it: once, to the right hub, never shown."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, AgentRegistration, BadRequest, BadURL, HubClient, Unauthorized
from homeport_protocol.tokens import make_token
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, eventually
from tests.support.legacy_hub import LegacyHub

TOKEN = make_token("abcdefghij01", "S" * 40)
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def with_user(url: str, user: str) -> str:
    return url.replace("http://", f"http://{user}@")


def shown(hub: FakeHub) -> list[list[str]]:
    """The Authorization headers of each handshake."""
    return [each.headers.get_all("Authorization") for each in hub.handshakes]


@pytest.mark.parametrize(
    ("options", "user", "variables", "expected"),
    [
        ({"token": "given"}, "a:url", ("env", "file"), ["Bearer given"]),
        ({"token": ""}, "a:url", ("env", "file"), []),
        ({"token_file": "x"}, "a:url", ("env", "file"), ["Bearer x"]),
        ({}, "a:url", ("env", "file"), [basic("a:url")]),
        ({}, f"agent:{TOKEN}", ("env", "file"), [f"Bearer {TOKEN}"]),
        ({}, f":{JWT}", ("env", "file"), [f"Bearer {JWT}"]),
        ({}, "me%40home:p%3Ass", ("env", "file"), [basic("me@home:p:ss")]),
        ({}, None, ("env", "file"), ["Bearer env"]),
        ({}, None, ("", "file"), ["Bearer file"]),
        ({}, None, ("", ""), []),
        ({"headers": {"Authorization": "Basic x"}}, None, ("", ""), ["Basic x"]),
    ],
)
async def test_the_first_that_gives_a_token_counts(  # noqa: PLR0917 - what there is to give
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    user: str | None,
    variables: tuple[str, str],
    expected: list[str],
) -> None:
    for name in ("file", "x"):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.chdir(tmp_path)
    for name, value in zip(("HOMEPORT_TOKEN", "HOMEPORT_TOKEN_FILE"), variables, strict=True):
        monkeypatch.setenv(name, value)
    url = hub.url if user is None else with_user(hub.url, user)

    async with HubClient(url, **options) as client:
        await client.ping()
    async with AgentClient(url, name="cost-1", type="cost", **options):
        pass
    assert shown(hub) == [expected, expected]

    with LegacyHub() as legacy:
        url = legacy.url if user is None else with_user(legacy.url, user)
        assert AgentRegistration("a", "cost", "h", 1, [], url, **options).register()
    assert [legacy.calls[0][2].get("Authorization")] == (expected or [None])


async def test_each_hub_is_shown_what_its_own_url_has(hub: FakeHub, other: FakeHub) -> None:
    urls = [with_user(hub.url, "a:one"), with_user(other.url, "a:two")]
    hub.handshake = (503, {}, {})
    async with HubClient(urls, shuffle=False, headers={}) as client:
        await client.ping()
    assert shown(hub) == [[basic("a:one")]]
    assert shown(other) == [[basic("a:two")]]


async def test_a_file_is_read_again_at_each_connection(
    hub: FakeHub, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    monkeypatch.chdir(tmp_path)
    agent = with_seams(
        AgentClient, hub.url, name="cost-1", type="cost", token_file="token", sleep=waits
    )
    monkeypatch.chdir("/")  # a relative name is one of the directory that the client was made in
    async with agent:
        file.write_text("  two\r\n")
        hub.peer.abort()
        await hub.heard("resume")
        assert shown(hub) == [["Bearer one"], ["Bearer two"]]


@pytest.mark.parametrize("token", [b"s3cret", 5, Path("s3cret")])
def test_a_token_that_is_no_text_is_refused_and_never_quoted(token: Any) -> None:
    for make in (HubClient, lambda **more: AgentClient(name="a", type="cost", **more)):
        with pytest.raises(BadRequest, match=r"^token: expected `str`, got `") as caught:
            make(token=token)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "it cannot be read: no such file or directory"),
        (lambda path: path.write_text(" \n"), "it is empty"),
        (lambda path: path.write_text("s3cret s3cret"), "it holds more than one word"),
        (lambda path: path.write_text("s3cret" * 5000), "it is larger than 16384 bytes"),
        (lambda path: path.write_bytes(b"s3cret\xff"), "expected visible ASCII characters only"),
        (lambda path: path.write_text("hp1_s3cret"), "this is no token of a hub"),
        (lambda path: path.mkdir(), "it is no regular file"),
        (os.mkfifo, "it is no regular file"),
    ],
)
async def test_a_file_without_a_token_is_told_and_never_quoted(
    hub: FakeHub, tmp_path: Path, make: Callable[[Path], Any], words: str
) -> None:
    file = tmp_path / "token"
    make(file)
    for client in (
        HubClient(hub.url, token_file=file).ping(),
        AgentClient(hub.url, name="a", type="cost", token_file=file).start(),
    ):
        with pytest.raises(BadRequest, match=re.escape(f"token_file {file}: {words}")) as caught:
            await client
        assert "s3cret" not in str(caught.value)
    assert hub.handshakes == []


async def test_a_file_that_is_missing_for_a_while_is_waited_for(
    hub: FakeHub, tmp_path: Path, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    agent = with_seams(
        AgentClient, hub.url, name="cost-1", type="cost", token_file=file, sleep=waits
    )
    async with agent:
        file.unlink()
        hub.peer.abort()
        await eventually(lambda: len(waits) >= 4)
        file.write_text("two")
        await agent.wait_connected()
    assert shown(hub) == [["Bearer one"], ["Bearer two"]]
    assert "no such file" in caplog.text


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("s3cret", "has a user and no password; the token is the password"),
        ("s3cret:", "has a user and no password"),
        ("agent:s3cret%0Ax", "has a user or password that is no text"),
        ("agent:s3cret%ff", "has a user or password that is no text"),
        ("agent:s3/cret", "is malformed"),
        ("agent:3/s3cret", "within a password, / . # and @ are written %2F"),
    ],
)
def test_a_url_with_unusable_credentials_is_refused_without_repeating_them(
    user: str, words: str
) -> None:
    with pytest.raises(BadURL, match=words) as caught:
        HubClient(f"http://{user}@hub:8080")
    assert "s3" not in str(caught.value)


def test_a_typing_error_is_found_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = TOKEN.replace("abc", "abd")
    words = "the token's check does not fit"
    for make in (
        lambda: HubClient("http://hub", token=wrong),
        lambda: HubClient(f"http://agent:{wrong}@hub"),
        lambda: AgentRegistration("a", "cost", "h", 1, [], token=wrong),
    ):
        with pytest.raises(BadRequest, match=words) as caught:
            make()
        assert wrong not in str(caught.value)
    monkeypatch.setenv("HOMEPORT_TOKEN", wrong)
    with pytest.raises(BadRequest, match=f"^HOMEPORT_TOKEN: {words}"):
        HubClient("http://hub")
    assert not AgentRegistration("a", "cost", "h", 1, [], "http://127.0.0.1:9").register()
    assert f"HOMEPORT_TOKEN: {words}" in caplog.text
    assert wrong not in caplog.text


def test_two_at_once_are_refused_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="token_file: `token` is given as well"):
        HubClient(token="a", token_file="b")
    header = {"authorization": "s3cret"}
    with pytest.raises(BadRequest, match="Authorization is set by the hub's URL as well"):
        HubClient("http://a:b@hub", headers=header)
    with pytest.raises(BadRequest, match=r"Authorization is set by token_file /x as well"):
        AgentRegistration("a", "cost", "h", 1, [], headers=header, token_file="/x")
    monkeypatch.setenv("HOMEPORT_TOKEN", "t")
    with pytest.raises(BadRequest, match="Authorization is set by HOMEPORT_TOKEN as well") as both:
        HubClient(headers=header)
    assert "s3cret" not in str(both.value)


async def test_a_refusal_says_where_the_token_was_from(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.handshake = (401, {"error": "the token is not known"}, {})
    monkeypatch.setenv("HOMEPORT_TOKEN", "t")
    (tmp_path / "t").write_text("t")
    for options, words in (
        ({}, "the token is from HOMEPORT_TOKEN"),
        ({"token": "t"}, "the token is from `token`"),
        ({"token_file": tmp_path / "t"}, f"the token is from token_file {tmp_path}/t"),
        ({"token": ""}, "no token was given: set HOMEPORT_TOKEN or HOMEPORT_TOKEN_FILE"),
    ):
        async with HubClient(hub.url, **options) as client:
            with pytest.raises(Unauthorized) as caught:
                await client.ping()
        assert f"the token is not known ({words})" in str(caught.value)


async def test_a_token_without_tls_is_warned_of_once_for_each_hub(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warned: set[Any] = set()
    monkeypatch.setattr("agent_client.transport.readable._warned", warned)
    monkeypatch.setattr("agent_client.transport.readable.is_loopback", lambda host: False)
    async with FakeHub() as hub, HubClient(hub.url) as silent:
        await silent.ping()
        assert caplog.text == ""
        for _ in range(3):
            async with HubClient(hub.url, token="t0ken") as client:
                await client.ping()
        with LegacyHub() as legacy:
            for _ in range(2):
                AgentRegistration("a", "c", "h", 1, [], legacy.url, token="t0ken").register()
    lines = [each for each in caplog.messages if "without TLS" in each]
    assert len(lines) == 2
    assert f"the token for ws://127.0.0.1:{hub.port}/ws travels without TLS" in lines[0]
    assert "t0ken" not in caplog.text
