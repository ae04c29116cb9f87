"""AgentClient: registering, reporting, leaving, and what it refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from agent_client import (
    AgentClient,
    BadRequest,
    BadURL,
    CannotConnect,
    Conflict,
    ConnectionLost,
    Forbidden,
    HomeportError,
    Timeout,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, error, eventually, running_hub, silent
from tests.support.records import agent_id


def client(hub: FakeHub, **more: Any) -> AgentClient:
    return with_seams(AgentClient, hub.url, **{"name": "cost-1", "type": "cost", **more})


async def test_entering_registers_and_leaving_unregisters(hub: FakeHub) -> None:
    async with client(
        hub,
        capabilities=["spot", "spot", "reserved"],
        version="1.2",
        host="10.0.0.1",
        port=8001,
        metadata={"zone": "a"},
        load=0.5,
    ) as agent:
        assert agent.connected
        assert agent.epoch == 1
        assert agent.lease is not None
        assert agent.lease.revision == 100
        [request] = hub.requests("register")
        assert request["agent_id"] == agent.agent_id
        assert request["agent"] == {
            "name": "cost-1",
            "type": "cost",
            "host": "10.0.0.1",
            "port": 8001,
            "capabilities": ["spot", "reserved"],
            "version": "1.2",
            "metadata": {"zone": "a"},
            "status": "healthy",
            "load": 0.5,
        }
    assert not agent.connected
    assert hub.peer.ops() == ["register", "unregister"]


async def test_an_agent_that_listens_nowhere_sends_no_host(hub: FakeHub) -> None:
    async with client(hub, host=""):
        assert "host" not in hub.requests("register")[0]["agent"]


async def test_it_offers_the_subprotocol_and_presents_namespace_and_token(hub: FakeHub) -> None:
    async with client(hub, namespace="blue", token="secret-token") as agent:
        [request] = hub.handshakes
        assert request.path == "/ws"
        assert request.headers["Sec-WebSocket-Protocol"] == "homeport.v1"
        assert request.headers["Homeport-Namespace"] == "blue"
        assert request.headers["Authorization"] == "Bearer secret-token"
        assert "Sec-WebSocket-Extensions" not in request.headers
        assert "secret-token" not in repr(agent.lease)


async def test_url_and_token_come_from_the_environment(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEPORT_URL", hub.url)
    monkeypatch.setenv("HOMEPORT_TOKEN", "from-outside")
    async with AgentClient(name="cost-1", type="cost"):
        assert hub.handshakes[0].headers["Authorization"] == "Bearer from-outside"


async def test_it_heartbeats_by_itself_at_the_interval_the_hub_tells() -> None:
    async with (
        FakeHub(heartbeat_interval=0.02) as hub,
        client(hub, status="degraded", load=0.25),
    ):
        await hub.heard("heartbeat", 3)
        assert hub.requests("heartbeat")[0]["status"] == "degraded"
        assert hub.requests("heartbeat")[0]["load"] == 0.25
        hub.heartbeat_interval = 3600.0
        before = len(hub.requests("heartbeat"))
        await hub.heard("heartbeat", before + 1)
        answered = len(hub.requests("heartbeat"))
        await asyncio.sleep(0.2)
        assert len(hub.requests("heartbeat")) <= answered + 1


async def test_a_report_is_a_heartbeat_now_and_returns_its_acknowledgement(hub: FakeHub) -> None:
    async with client(hub) as agent:
        ack = await agent.report(status="degraded", metadata={"queue": 3}, load=0.9)
        assert ack.durable
        [request] = hub.requests("heartbeat")
        del request["id"]
        assert request == {
            "op": "heartbeat",
            "status": "degraded",
            "metadata": {"queue": 3},
            "load": 0.9,
        }


async def test_an_update_returns_its_revision(hub: FakeHub) -> None:
    async with client(hub) as agent:
        updated = await agent.update(capabilities=["a"], host="h", port=1, metadata={"old": None})
        assert (updated.log, updated.revision) == ("log-a", 101)
        [request] = hub.requests("update")
        del request["id"]
        assert request == {
            "op": "update",
            "capabilities": ["a"],
            "host": "h",
            "port": 1,
            "metadata": {"old": None},
        }


async def test_answers_are_matched_by_id_when_many_requests_are_under_way(hub: FakeHub) -> None:
    async with client(hub) as agent:
        await asyncio.gather(*(agent.report(load=float(n)) for n in range(50)))
        assert [r["load"] for r in hub.requests("heartbeat")] == [float(n) for n in range(50)]


async def test_messages_of_a_newer_hub_are_ignored(hub: FakeHub) -> None:
    async with client(hub) as agent:
        await hub.peer.send({"op": "invoke", "call": 1}, {"op": "event", "watch": "?"})
        await hub.peer.websocket.send("not json")
        await hub.peer.websocket.send(b"\xff")
        await agent.report()
        assert len(hub.peers) == 1


async def test_an_error_code_of_a_newer_hub_is_a_plain_homeport_error(hub: FakeHub) -> None:
    hub.on("heartbeat", lambda _p, _r: error("teapot", "short and stout", retry_after=2.5))
    async with client(hub) as agent:
        with pytest.raises(HomeportError, match="short and stout") as caught:
            await agent.report()
        assert caught.value.code == "teapot"
        assert caught.value.retry_after == 2.5


async def test_an_answer_that_cannot_be_read_fails_its_request_at_once(hub: FakeHub) -> None:
    hub.on("update", lambda _p, _r: {"op": "updated", "revision": "many"})
    async with client(hub) as agent:
        with pytest.raises(HomeportError, match="may be newer"):
            await agent.update(version="2")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"type": "two\nlines"}, "type"),
        ({"port": 70_000}, "port"),
        ({"status": "fine"}, "status"),
        ({"load": -1}, "load"),
        ({"load": float("nan")}, "load"),
        ({"capabilities": "spot"}, "capabilities"),
        ({"metadata": ["a"]}, "metadata"),
        ({"agent_id": "me"}, "agent_id"),
        ({"namespace": "../x"}, "namespace"),
        ({"token": "two\nlines"}, "token"),
    ],
)
def test_a_value_no_hub_could_accept_is_refused_at_once(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        AgentClient(**{"name": "cost-1", "type": "cost", **wrong})
    assert caught.value.field == field
    assert "two" not in str(caught.value)


async def test_metadata_beyond_its_bound_is_refused_before_it_is_sent(hub: FakeHub) -> None:
    with pytest.raises(TooLarge):
        client(hub, metadata={"big": "x" * 17_000})
    async with client(hub, metadata={"half": "x" * 9_000}) as agent:
        with pytest.raises(TooLarge) as caught:
            await agent.report(metadata={"more": "x" * 9_000})
        assert caught.value.field == "metadata"
        assert not hub.requests("heartbeat")
        with pytest.raises(BadRequest, match="JSON"):
            await agent.report(metadata={"thing": object()})


@pytest.mark.parametrize("url", ["hub:8080", "ftp://hub", "http://", "http://hub:99999", [], ""])
def test_a_url_that_cannot_be_used_is_refused_at_once(url: Any) -> None:
    with pytest.raises(BadURL):
        AgentClient(url, name="cost-1", type="cost")


@pytest.mark.parametrize(("code", "type_"), [("bad_request", BadRequest), ("conflict", Conflict)])
async def test_a_first_registration_refused_for_good_is_raised_at_once(
    hub: FakeHub, code: str, type_: type[HomeportError]
) -> None:
    hub.on("register", lambda _p, _r: error(code, "no", field="agent.name"))
    with pytest.raises(type_) as caught:
        async with client(hub):
            pass
    assert caught.value.field == "agent.name"
    assert len(hub.peers) == 1


@pytest.mark.parametrize(
    ("status", "code", "type_"),
    [(401, 4401, Unauthorized), (403, 4403, Forbidden), (400, None, BadRequest)],
)
async def test_a_refused_token_is_raised_however_the_hub_says_it(
    hub: FakeHub, status: int, code: int | None, type_: type[HomeportError]
) -> None:
    hub.handshake = (status, {"error": "the token is not known"}, {})
    with pytest.raises(type_, match="the token is not known"):
        await client(hub, token="wrong").start()
    hub.handshake = None
    if code is not None:
        hub.on("register", lambda peer, _r: peer.close(code, "the token is not known"))
        with pytest.raises(type_, match="the token is not known"):
            await client(hub, token="wrong").start()


async def test_a_first_registration_goes_on_while_the_hub_is_not_ready(
    hub: FakeHub, waits: Waits
) -> None:
    refusals = iter([error("unavailable", retryable=True, retry_after=3.0)] * 2)

    def register(_peer: Any, request: dict[str, Any]) -> Any:
        return next(refusals, None) or hub.registered(request["agent_id"], resumed=False)

    hub.on("register", register)
    async with client(hub, sleep=waits):
        assert len(waits) == 2
        assert all(3.0 <= wait < 4.0 for wait in waits)


async def test_a_first_registration_gives_up_after_the_connect_timeout() -> None:
    async with FakeHub() as hub:
        url = hub.url
    with pytest.raises(CannotConnect, match=r"within 0\.2 s.*cannot connect to ws://127") as caught:
        await AgentClient(url, name="a", type="cost", connect_timeout=0.2).start()
    assert caught.value.retryable


async def test_a_refused_report_is_raised_and_not_remembered(hub: FakeHub) -> None:
    hub.on("update", lambda _p, _r: error("unavailable", retryable=True, retry_after=1.0))
    async with client(hub) as agent:
        with pytest.raises(Unavailable) as caught:
            await agent.update(version="2")
        assert caught.value.retryable
        assert caught.value.retry_after == 1.0
        hub.agents.clear()
        hub.peer.abort()
        await hub.heard("register", 2)
        assert hub.requests("register")[1]["agent"]["version"] == ""


def unknown(**more: Any) -> dict[str, Any]:
    return error("unavailable", retryable=True, retry_after=1.0, outcome="unknown", **more)


async def test_an_update_whose_outcome_is_unknown_is_sent_again(hub: FakeHub, waits: Waits) -> None:
    answers = iter([unknown(), unknown()])
    updated = {"op": "updated", "log": "log-a", "revision": 9}
    hub.on("update", lambda _p, _r: next(answers, updated))
    async with client(hub, sleep=waits) as agent:
        assert (await agent.update(version="2")).revision == 9
    assert [each["version"] for each in hub.requests("update")] == ["2"] * 3
    assert list(waits) == [1.0, 1.0]


async def test_an_update_whose_outcome_stays_unknown_is_raised_and_remembered(
    hub: FakeHub,
) -> None:
    hub.on("update", lambda _p, _r: unknown())
    async with client(hub, request_timeout=0.5) as agent:
        with pytest.raises(Unavailable) as caught:
            await agent.update(version="2")
        assert caught.value.outcome == "unknown"
        hub.agents.clear()
        hub.peer.abort()
        await hub.heard("register", 2)
        assert hub.requests("register")[1]["agent"]["version"] == "2"


async def test_a_registration_whose_outcome_is_unknown_is_made_again_under_the_same_id(
    hub: FakeHub, waits: Waits
) -> None:
    answers = iter([unknown()])

    def register(_peer: Any, request: dict[str, Any]) -> Any:
        return next(answers, None) or hub.registered(request["agent_id"], resumed=False)

    hub.on("register", register)
    async with client(hub, sleep=waits) as agent:
        assert agent.connected
    assert len({each["agent_id"] for each in hub.requests("register")}) == 1


@pytest.mark.parametrize("then", ["not_registered", "not_found", "unregistered", 1000])
async def test_an_unregistration_whose_outcome_is_unknown_is_asked_for_again(
    hub: FakeHub, waits: Waits, caplog: pytest.LogCaptureFixture, then: str | int
) -> None:
    answers = iter([unknown()])

    def unregister(peer: Any, _request: dict[str, Any]) -> Any:
        first = next(answers, None)
        if first is not None:
            return first
        if isinstance(then, int):
            return peer.close(then, "unregistered")
        return {"op": then} if then == "unregistered" else error(then)

    hub.on("unregister", unregister)
    async with client(hub, sleep=waits):
        pass
    assert len(hub.requests("unregister")) == 2
    assert "could not unregister" not in caplog.text


async def test_a_request_not_answered_in_time_raises_and_drops_the_connection(
    hub: FakeHub, waits: Waits
) -> None:
    hub.on("heartbeat", silent)
    async with client(hub, request_timeout=0.2, sleep=waits) as agent:
        with pytest.raises(Timeout):
            await agent.report(status="degraded")
        await hub.heard("resume")
        assert hub.requests("resume")[0]["agent"]["status"] == "degraded"


async def test_cancelling_a_report_does_not_undo_it(hub: FakeHub) -> None:
    release = asyncio.Event()

    async def late(_peer: Any, _request: dict[str, Any]) -> dict[str, Any]:
        await release.wait()
        return {"op": "updated", "log": "log-a", "revision": 9}

    hub.on("update", late)
    async with client(hub) as agent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await agent.update(version="2")
        release.set()
        await agent.report()
        hub.agents.clear()
        hub.peer.abort()
        await hub.heard("register", 2)
        assert hub.requests("register")[1]["agent"]["version"] == "2"


async def test_calls_before_and_after_the_context_say_so(hub: FakeHub) -> None:
    agent = client(hub)
    assert not agent.connected
    assert agent.epoch == 0
    with pytest.raises(RuntimeError, match="not been started"):
        await agent.report()
    async with agent:
        pass
    with pytest.raises(ConnectionLost, match="closed"):
        await agent.report()
    with pytest.raises(ConnectionLost, match="closed"):
        await agent.wait_connected()
    with pytest.raises(ConnectionLost, match="closed"):
        await agent.wait_ended()
    with pytest.raises(RuntimeError, match="only once"):
        await agent.start()


async def test_a_client_that_was_closed_first_connects_to_nothing(hub: FakeHub) -> None:
    agent = client(hub)
    await agent.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await agent.start()
    assert hub.handshakes == []


def test_a_client_over_two_runs_says_what_is_wrong() -> None:
    with running_hub() as hub:
        agent = AgentClient(hub.url, name="cost-1", type="cost", leave_on_sigterm=False)

        async def again(call: Callable[[], Any]) -> None:
            await call()

        asyncio.run(agent.start())
        for call in (agent.report, agent.update, agent.wait_connected, agent.close):
            with pytest.raises(RuntimeError, match="AgentClient belongs to an event loop that is"):
                asyncio.run(again(call))


async def test_a_client_in_another_loop_says_so_and_goes_on(hub: FakeHub) -> None:
    async with client(hub) as agent:
        with pytest.raises(RuntimeError, match="another event loop, which may be another thread's"):
            await asyncio.to_thread(lambda: asyncio.run(agent.report()))  # type: ignore[arg-type]
        await agent.report()
    async with client(hub, heartbeat_in_thread=True) as agent:  # its session is on none of both
        await asyncio.to_thread(lambda: asyncio.run(agent.report()))  # type: ignore[arg-type]


async def test_closing_ends_a_call_under_way(hub: FakeHub) -> None:
    hub.on("update", silent)
    agent = client(hub)
    await agent.start()
    call = asyncio.create_task(agent.update(version="2"))
    await hub.heard("update")
    await agent.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await call


async def test_an_agent_keeps_the_id_it_is_given(hub: FakeHub) -> None:
    async with client(hub, agent_id=agent_id(5)) as agent:
        assert agent.agent_id == agent_id(5)
        assert hub.requests("register")[0]["agent_id"] == agent_id(5)


async def test_callbacks_run_apart_from_the_heartbeats(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def slow(_lease: object) -> None:
        await asyncio.sleep(3600)

    def broken(_error: object) -> None:
        raise ValueError("the user's mistake")

    async with (
        FakeHub(heartbeat_interval=0.02) as hub,
        client(hub, on_connected=slow, on_disconnected=broken),
    ):
        await hub.heard("heartbeat", 3)
        with caplog.at_level(logging.ERROR, logger="homeport.client"):
            hub.peer.abort()
            await hub.heard("resume")
        beats = len(hub.requests("heartbeat"))
        await hub.heard("heartbeat", beats + 3)
        assert "the user's mistake" in caplog.text


async def test_nothing_is_left_running_after_the_context(hub: FakeHub) -> None:
    before = asyncio.all_tasks()

    async def slow(_lease: object) -> None:
        await asyncio.sleep(3600)

    async with client(hub, on_connected=slow) as agent:
        await agent.report()
    await hub.peer.websocket.wait_closed()
    await eventually(lambda: not (left(before)), "all tasks of the client ended")


def left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return {t for t in asyncio.all_tasks() - before if t.get_name().startswith("homeport")}
