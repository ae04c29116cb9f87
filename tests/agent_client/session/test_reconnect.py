"""AgentClient over lost connections: resume, registering anew, fencing, back-off."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agent_client import (
    AgentClient,
    AgentRemoved,
    Backoff,
    ConnectionLost,
    Fenced,
    HomeportError,
    Lease,
    Timeout,
    TooLarge,
    Updated,
)
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, Message, Peer, error, eventually, silent
from tests.support.records import wire_record


def client(*hubs: FakeHub, **more: Any) -> AgentClient:
    given: dict[str, Any] = {"name": "cost-1", "type": "cost", "shuffle": False, **more}
    return with_seams(AgentClient, [hub.url for hub in hubs], **given)


async def test_it_resumes_with_its_token_after_a_lost_connection(
    hub: FakeHub, waits: Waits
) -> None:
    seen: list[Lease | HomeportError] = []
    async with client(
        hub, on_connected=seen.append, on_disconnected=seen.append, sleep=waits, load=0.5
    ) as agent:
        hub.peer.abort()
        await hub.heard("resume")
        await agent.report()
        [request] = hub.requests("resume")
        del request["id"]
        assert request == {
            "op": "resume",
            "agent_id": agent.agent_id,
            "session_token": "token-1",
            "agent": {"status": "healthy", "load": 0.5},
        }
        assert agent.epoch == 2
        first, lost, again = seen
        assert isinstance(first, Lease)
        assert not first.resumed
        assert isinstance(lost, ConnectionLost)
        assert isinstance(again, Lease)
        assert again.resumed
        assert len(hub.requests("register")) == 1


@pytest.mark.parametrize("code", ["not_found", "unauthorized", "bad_request"])
async def test_it_registers_under_the_same_id_with_what_it_said_last_when_the_hub_forgot_it(
    hub: FakeHub, waits: Waits, code: str
) -> None:
    hub.on("resume", lambda _p, _r: error(code))
    async with client(hub, metadata={"zone": "a", "old": 1}, sleep=waits) as agent:
        await agent.report(status="degraded", load=0.7, metadata={"old": None, "queue": 3})
        await agent.update(capabilities=["new", "new"], version="2", host="h", port=9)
        hub.peer.abort()
        await hub.heard("register", 2)
        again = hub.requests("register")[1]
        assert again["agent_id"] == agent.agent_id
        assert again["agent"] == {
            "name": "cost-1",
            "type": "cost",
            "host": "h",
            "port": 9,
            "capabilities": ["new"],
            "version": "2",
            "metadata": {"zone": "a", "queue": 3},
            "status": "degraded",
            "load": 0.7,
        }
        await agent.wait_connected()
        assert hub.peer.ops()[:2] == ["resume", "register"]


async def test_after_registering_anew_it_resumes_with_the_new_token(
    hub: FakeHub, waits: Waits
) -> None:
    async with client(hub, sleep=waits) as agent:
        hub.agents[agent.agent_id]["token"] = "of-another-life"
        hub.peer.abort()
        await hub.heard("register", 2)
        await agent.wait_connected()
        hub.peer.abort()
        await hub.heard("resume", 2)
        assert hub.requests("resume")[1]["session_token"] == "token-2"


async def test_what_was_reported_while_away_goes_with_the_resume(
    hub: FakeHub, waits: Waits
) -> None:
    async with client(hub, request_timeout=0.2, sleep=waits) as agent:
        hub.handshake = (502, {}, {})
        hub.peer.abort()
        await eventually(lambda: not agent.connected)
        with pytest.raises(ConnectionLost, match="not connected"):
            await agent.report(status="degraded", metadata={"a": 1, "b": 2})
        with pytest.raises(ConnectionLost, match="not connected"):
            await agent.update(version="2", metadata={"b": None})
        hub.handshake = None
        await hub.heard("resume")
        assert hub.requests("resume")[0]["agent"] == {
            "status": "degraded",
            "version": "2",
            "metadata": {"a": 1, "b": None},
        }
        await agent.wait_connected()
        hub.peer.abort()
        await hub.heard("resume", 2)
        assert hub.requests("resume")[1]["agent"] == {"status": "degraded"}


async def test_a_report_under_way_when_the_connection_breaks_is_sent_again(
    hub: FakeHub, waits: Waits
) -> None:
    def break_once(peer: Peer, _request: Message) -> None:
        hub.behave("heartbeat")
        peer.abort()

    hub.on("heartbeat", break_once)
    async with client(hub, sleep=waits) as agent:
        await agent.report(status="degraded")
        assert len(hub.requests("heartbeat")) == 2
        assert len(hub.requests("resume")) == 1


async def test_pending_changes_that_a_hub_refuses_do_not_keep_the_agent_away(
    hub: FakeHub, waits: Waits
) -> None:
    async with client(hub, request_timeout=0.2, sleep=waits) as agent:
        hub.handshake = (502, {}, {})
        hub.peer.abort()
        await eventually(lambda: not agent.connected)
        with pytest.raises(ConnectionLost):
            await agent.update(version="2")

        def refuse_version(_peer: Peer, request: Message) -> Message:
            if request["agent"].get("version") == "2":
                return error("bad_request", field="agent.version")
            if request["op"] == "resume":
                return error("not_found")
            return hub.registered(request["agent_id"], resumed=False)

        hub.on("resume", refuse_version)
        hub.on("register", refuse_version)
        hub.handshake = None
        await agent.wait_connected()
        assert hub.requests("register")[-1]["agent"]["version"] == ""


async def test_a_message_too_large_for_the_hub_is_refused_once_and_not_sent_for_ever(
    hub: FakeHub, waits: Waits
) -> None:
    hub.on("update", lambda peer, _r: peer.close(1009, "message too large"))
    async with client(hub, sleep=waits) as agent:
        with pytest.raises(HomeportError, match="too large") as caught:
            await agent.update(capabilities=["x" * 128] * 256)
        assert caught.value.code == "too_large"
        await agent.wait_connected()
        await agent.report()
        assert len(hub.requests("update")) == 1
        assert hub.requests("resume")[0]["agent"] == {"status": "healthy"}


async def test_what_was_under_way_beside_a_message_too_large_is_sent_again(
    hub: FakeHub, waits: Waits
) -> None:
    def close_on_the_large(peer: Peer, request: Message) -> Any:
        return peer.close(1009, "message too large") if "capabilities" in request else None

    hub.on("update", close_on_the_large)
    async with client(hub, sleep=waits) as agent:
        before = asyncio.create_task(agent.update(version="2"))
        await hub.heard("update")
        large = asyncio.create_task(agent.update(capabilities=["x" * 128] * 256))
        behind = asyncio.create_task(agent.update(port=7))
        with pytest.raises(TooLarge):
            await large
        hub.behave("update")
        assert [(await each).log for each in (before, behind)] == ["log-a"] * 2
        again = hub.requests("update")[-2:]
        assert [(each.get("version"), each.get("port")) for each in again] == [
            ("2", None),
            (None, 7),
        ]


async def test_it_stops_for_good_when_a_newer_session_fences_it_off(
    hub: FakeHub, waits: Waits
) -> None:
    fenced: list[Fenced] = []
    lost: list[HomeportError] = []
    hub.on("update", silent)
    async with client(
        hub, on_fenced=fenced.append, on_disconnected=lost.append, sleep=waits
    ) as agent:
        pending = asyncio.create_task(agent.update(version="2"))
        await hub.heard("update")
        await hub.peer.close(4409, "a newer session took over")
        with pytest.raises(Fenced, match="newer session"):
            await pending
        with pytest.raises(Fenced):
            await agent.wait_ended()
        with pytest.raises(Fenced):
            await agent.report()
        with pytest.raises(Fenced):
            await agent.wait_connected()
        assert not agent.connected
    assert len(fenced) == 1
    assert not lost
    assert len(hub.peers) == 1
    assert not waits
    assert "unregister" not in hub.peer.ops()


async def test_a_session_that_was_replaced_while_it_was_away_does_not_fight_the_newer_one(
    hub: FakeHub, waits: Waits
) -> None:
    fenced: list[Fenced] = []
    hub.on("resume", lambda _p, _r: error("fenced", "superseded"))
    hub.on("get", lambda _p, r: {"op": "agent", "agent": wire_record(1, epoch=2)})
    async with client(hub, on_fenced=fenced.append, sleep=waits) as agent:
        hub.peer.abort()
        with pytest.raises(Fenced):
            await agent.wait_ended()
    assert len(fenced) == 1
    assert len(hub.requests("register")) == 1


@pytest.mark.parametrize("known", [{"op": "agent", "agent": wire_record(1)}, error("not_found")])
async def test_a_hub_that_lost_data_and_takes_the_token_for_an_old_one_gets_a_new_registration(
    hub: FakeHub, waits: Waits, known: Message
) -> None:
    hub.on("resume", lambda _p, _r: error("fenced", "superseded"))
    hub.on("get", lambda _p, _r: {**known})
    async with client(hub, sleep=waits) as agent:
        hub.peer.abort()
        await hub.heard("register", 2)
        await agent.wait_connected()
        assert hub.requests("register")[1]["agent_id"] == agent.agent_id


@pytest.mark.parametrize("code", ["not_registered", "not_found", "fenced"])
async def test_a_report_that_the_hub_has_no_session_for_is_sent_again_after_a_resume(
    hub: FakeHub, waits: Waits, code: str
) -> None:
    def refuse_once(_peer: Peer, _request: Message) -> Message:
        hub.behave("heartbeat")
        return error(code)

    hub.on("heartbeat", refuse_once)
    async with client(hub, sleep=waits) as agent:
        await agent.report()
        assert len(hub.requests("resume")) == 1


async def test_a_heartbeat_not_answered_makes_it_reconnect(waits: Waits) -> None:
    async with FakeHub(heartbeat_interval=0.02) as hub:
        hub.on("heartbeat", silent)
        async with client(hub, request_timeout=0.1, sleep=waits):
            await hub.heard("resume", 2)


async def test_a_refused_heartbeat_does_not_end_the_session() -> None:
    async with FakeHub(heartbeat_interval=0.02) as hub, client(hub):
        hub.on("heartbeat", lambda _p, _r: error("rate_limited", retryable=True))
        await hub.heard("heartbeat", 3)
        assert len(hub.peers) == 1


async def test_a_heartbeat_that_the_hub_has_no_session_for_is_followed_by_a_resume(
    waits: Waits,
) -> None:
    async with FakeHub(heartbeat_interval=0.02) as hub, client(hub, sleep=waits):
        hub.on("heartbeat", lambda _p, _r: error("not_registered"))
        await hub.heard("resume", 2)


async def test_a_hub_that_stops_reading_is_left_within_the_request_timeout(
    hub: FakeHub, waits: Waits
) -> None:
    async with client(hub, request_timeout=0.2, sleep=waits) as agent:
        hub.peer.websocket.transport.pause_reading()
        big = ["x" * 128] * 256
        results = await asyncio.gather(
            *(agent.update(capabilities=[*big[1:], f"{n}"]) for n in range(1000)),
            return_exceptions=True,
        )
        assert {type(result) for result in results} <= {Timeout, ConnectionLost, Updated}
        await agent.wait_connected()
        assert len(hub.peers) >= 2


async def test_an_answer_that_came_while_the_program_stood_still_is_not_overdue(
    hub: FakeHub, waits: Waits
) -> None:
    release = asyncio.Event()

    async def held(_peer: Peer, _request: Message) -> Message:
        await release.wait()
        return {"op": "updated", "log": "log-a", "revision": 9}

    hub.on("update", held)
    async with client(hub, request_timeout=2.0, sleep=waits) as agent:
        call = asyncio.create_task(agent.update(version="2"))
        await hub.heard("update")
        release.set()
        time.sleep(2.2)  # noqa: ASYNC251 - the point: the whole loop hangs
        assert (await call).revision == 9
        assert len(hub.peers) == 1


async def test_it_waits_as_long_as_the_hub_that_goes_away_asks(hub: FakeHub, waits: Waits) -> None:
    async with client(hub, sleep=waits, chance=lambda: 0.5) as agent:
        await hub.peer.close(1001, "going away, retry in 7.5 s")
        await hub.heard("resume")
        await agent.wait_connected()
        assert waits == [7.5 + 0.25]


@pytest.mark.parametrize("way", ["header", "date", "answer", "close"])
async def test_nobody_keeps_it_away_for_longer_than_half_a_minute(
    hub: FakeHub, waits: Waits, way: str
) -> None:
    hint = error("unavailable", retryable=True, retry_after=3600.0)
    async with client(hub, sleep=waits) as agent:
        match way:
            case "header":
                hub.handshake = (503, "busy", {"Retry-After": "3600"})
            case "date":
                hub.handshake = (429, "busy", {"Retry-After": "Fri, 31 Dec 2199 23:59:59 GMT"})
            case "answer":
                hub.on("resume", lambda _p, _r: dict(hint))
        if way == "close":
            await hub.peer.close(1001, "going away, retry in 3600 s")
        else:
            hub.peer.abort()
        await eventually(lambda: any(wait >= 20.0 for wait in waits))
        hub.handshake = None
        hub.behave("resume")
        await agent.wait_connected()
        assert max(waits) <= 30.0


async def test_it_waits_longer_with_each_failure_and_anew_after_a_good_heartbeat(
    waits: Waits,
) -> None:
    async with FakeHub(heartbeat_interval=0.02) as hub:
        backoff = with_seams(Backoff, base=1.0, cap=5.0, chance=lambda: 0.5)
        async with client(hub, sleep=waits, backoff=backoff) as agent:
            hub.handshake = (503, {"error": "starting"}, {"Retry-After": "3"})
            hub.peer.abort()
            await eventually(lambda: len(waits) >= 5)
            hub.handshake = None
            await agent.wait_connected()
            assert waits[:5] == [0.5, 3 + 0.5, 3 + 1.0, 3 + 2.0, 3 + 2.5]
            await hub.heard("heartbeat", len(hub.requests("heartbeat")) + 2)
            waits.clear()
            hub.peer.abort()
            await hub.heard("resume", 2)
            assert waits[0] == 0.5


async def test_it_tries_the_urls_in_turn_and_prefers_the_last_good_one(waits: Waits) -> None:
    async with FakeHub() as first, FakeHub() as second:
        first.handshake = (502, {}, {})
        async with client(first, second, sleep=waits) as agent:
            assert (len(first.handshakes), len(second.handshakes)) == (1, 1)
            assert not waits  # the next hub's turn comes without waiting
            second.peer.abort()
            await second.heard("resume")
            await agent.wait_connected()
            assert len(first.handshakes) == 1
            second.handshake = (502, {}, {})
            first.handshake = None
            second.peer.abort()
            await first.heard("register")
            await agent.wait_connected()
            assert first.peer.ops() == ["resume", "register"]


async def test_a_hub_that_connects_but_cannot_register_is_passed_over(waits: Waits) -> None:
    async with FakeHub() as first, FakeHub() as second:
        first.on("register", lambda _p, _r: error("unavailable", retryable=True))
        async with client(first, second, sleep=waits) as agent:
            assert second.requests("register")[0]["agent_id"] == agent.agent_id
            await eventually(lambda: first.peer.websocket.close_code is not None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 429, 500, 502, 503])
async def test_it_goes_on_trying_whatever_is_answered_later(
    hub: FakeHub, waits: Waits, status: int
) -> None:
    async with client(hub, sleep=waits) as agent:
        hub.handshake = (status, {"error": "no"}, {})
        hub.peer.abort()
        await eventually(lambda: len(waits) >= 3)
        hub.handshake = None
        await agent.wait_connected()


async def test_leaving_while_reconnecting_works_at_once(hub: FakeHub) -> None:
    never = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await never.wait()

    lost = asyncio.Event()
    async with asyncio.timeout(5):
        async with client(hub, on_disconnected=lambda _e: lost.set(), sleep=sleep):
            hub.peer.abort()
            await lost.wait()


async def test_leaving_while_a_hub_does_not_answer_the_resume_works_at_once(
    hub: FakeHub, waits: Waits
) -> None:
    hub.on("resume", silent)
    async with asyncio.timeout(5):
        async with client(hub, sleep=waits, request_timeout=60):
            hub.peer.abort()
            await hub.heard("resume")
    await eventually(lambda: hub.peer.websocket.close_code is not None)


async def test_leaving_does_not_wait_for_a_hub_that_is_silent(hub: FakeHub) -> None:
    hub.on("unregister", silent)
    async with asyncio.timeout(5):
        async with client(hub, request_timeout=0.1):
            pass


async def test_a_cancelled_agent_still_unregisters(hub: FakeHub) -> None:
    inside = asyncio.Event()

    async def program() -> None:
        async with client(hub):
            inside.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await inside.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert hub.peer.ops() == ["register", "unregister"]


# --- removed by somebody else --------------------------------------------------------------------


async def test_an_agent_that_was_removed_stops_and_does_not_come_back(
    hub: FakeHub, waits: Waits
) -> None:
    lost: list[HomeportError] = []
    hub.on("resume", lambda _p, _r: error("not_found"))
    async with client(hub, on_disconnected=lost.append, sleep=waits) as agent:
        await hub.peer.close(1000, "unregistered")
        with pytest.raises(AgentRemoved):
            await agent.wait_ended()
        with pytest.raises(AgentRemoved):
            await agent.report()
    assert len(hub.requests("register")) == 1
    assert len(lost) == 1


async def test_a_session_that_a_proxy_closed_as_done_is_resumed(hub: FakeHub, waits: Waits) -> None:
    async with client(hub, sleep=waits) as agent:
        await hub.peer.close(1000)
        await hub.heard("resume")
        await agent.report()
        assert agent.epoch == 2
        hub.on("resume", lambda _p, _r: error("not_found"))
        hub.peer.abort()
        await hub.heard("register", 2)
        await agent.report()
