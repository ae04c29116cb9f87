"""A token that is refused: at first, for a while, and for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, Forbidden, HomeportError, HubClient, Unauthorized
from tests.agent_client.conftest import Waits, with_seams
from tests.agent_client.transport.test_tls import MUTUAL
from tests.support.fake_hub import FakeHub, Peer, error, eventually, snapshot, watching
from tests.support.tls import server_context

REVOKED = (401, {"error": "the token was revoked"}, {"WWW-Authenticate": "Bearer"})


def agent(hub: FakeHub, waits: Waits, **options: Any) -> AgentClient:
    return with_seams(AgentClient, hub.url, name="cost-1", type="cost", sleep=waits, **options)


async def test_a_token_that_was_revoked_ends_the_agent_after_a_few_tries(
    hub: FakeHub, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[HomeportError] = []
    async with agent(hub, waits, token="t", on_disconnected=lost.append) as client:
        hub.handshake = REVOKED
        await hub.peer.close(4401, "the token was revoked")
        with pytest.raises(Unauthorized, match="the token was revoked") as caught:
            await client.wait_ended()
        assert caught.value.final
        assert len(hub.handshakes) == 1 + 5
        with pytest.raises(Unauthorized):
            await client.report(load=1)
    assert [type(each) for each in lost] == [Unauthorized]
    assert "stops: " in caplog.text


async def test_it_goes_on_when_the_hub_takes_the_token_again(hub: FakeHub, waits: Waits) -> None:
    async with agent(hub, waits, token="t") as client:
        for _ in range(3):
            tried = len(hub.handshakes)
            hub.handshake = REVOKED
            await hub.peer.close(4401)
            await eventually(lambda tried=tried: len(hub.handshakes) >= tried + 2)
            hub.handshake = None
            await client.wait_connected()


async def test_without_the_hub_s_word_a_401_is_waited_for(hub: FakeHub, waits: Waits) -> None:
    async with agent(hub, waits, token="t") as client:
        hub.handshake = REVOKED
        hub.peer.abort()
        await eventually(lambda: len(hub.handshakes) >= 12)
        hub.handshake = None
        await client.wait_connected()


async def test_a_file_may_get_another_token_at_any_time(
    hub: FakeHub, waits: Waits, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    async with agent(hub, waits, token_file=file) as client:
        hub.handshake = REVOKED
        await hub.peer.close(4401, "the token has run out")
        await eventually(lambda: len(hub.handshakes) >= 12)
        file.write_text("new")
        await eventually(lambda: hub.handshakes[-1].headers["Authorization"] == "Bearer new")
        hub.handshake = None
        await client.wait_connected()


async def test_a_certificate_may_be_renewed_at_any_time(waits: Waits) -> None:
    async with FakeHub(tls=server_context(asks_for_certificate=True)) as hub:
        url = f"https://localhost:{hub.port}"
        client = with_seams(AgentClient, url, name="cost-1", type="cost", sleep=waits, **MUTUAL)
        async with client:
            hub.handshake = REVOKED
            await hub.peer.close(4401, "the certificate has run out")
            await eventually(lambda: len(hub.handshakes) >= 12)
            hub.handshake = None
            await client.wait_connected()


async def test_a_watch_ends_likewise(hub: FakeHub, waits: Waits) -> None:
    def script(_peer: Peer, _request: Any) -> Any:
        return [watching(1), snapshot(revision=1)]

    hub.on("watch", script)
    async with with_seams(HubClient, hub.url, token="t", sleep=waits) as client:
        watch = client.watch()
        await anext(watch)
        hub.handshake = REVOKED
        await hub.peer.close(4401, "the token was revoked")
        with pytest.raises(Unauthorized, match="the token was revoked"):
            await anext(watch)
    assert len(hub.handshakes) == 1 + 5


async def test_queries_raise_at_once_and_work_again(hub: FakeHub) -> None:
    async with HubClient(hub.url, token="t") as client:
        await client.ping()
        hub.handshake = REVOKED
        await hub.peer.close(4401, "the token was revoked")
        for _ in range(7):
            with pytest.raises(Unauthorized, match="the token was revoked"):
                await client.ping()
        hub.handshake = None
        await client.ping()


@pytest.mark.parametrize("from_file", [False, True])
async def test_an_agent_that_may_no_longer_register_ends(
    hub: FakeHub, waits: Waits, tmp_path: Path, from_file: bool
) -> None:
    (tmp_path / "t").write_text("t")
    options = {"token_file": tmp_path / "t"} if from_file else {"token": "t"}
    async with agent(hub, waits, **options) as client:
        hub.refuse("resume", "not_found", "no such agent")
        hub.on("register", lambda _p, _r: error("forbidden", "the token may register no more"))
        hub.peer.abort()
        if from_file:
            await hub.heard("register", 4)
            hub.behave("register")
            await client.wait_connected()
        else:
            with pytest.raises(Forbidden, match="may register no more"):
                await client.wait_ended()
            assert len(hub.requests("register")) == 2


async def test_what_another_request_may_not_is_an_error_and_the_agent_stays(
    hub: FakeHub, waits: Waits
) -> None:
    hub.refuse("update", "forbidden", "a role that may: operator")
    async with agent(hub, waits, token="t") as client:
        with pytest.raises(Forbidden, match="operator"):
            await client.update(version="2")
        await client.report(load=0.5)
    assert len(hub.handshakes) == 1
