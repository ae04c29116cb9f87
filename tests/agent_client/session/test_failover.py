"""AgentClient among several hubs: leaving one that is gone, stopping or silent; being fenced."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent_client import AgentClient, ConnectionLost, Fenced, HomeportError, Lease
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, Message, error, eventually, silent
from tests.support.records import wire_record


def client(*urls: str, **more: Any) -> AgentClient:
    given: dict[str, Any] = {
        "name": "cost-1",
        "type": "cost",
        "shuffle": False,
        "chance": lambda: 0.5,
        **more,
    }
    return with_seams(AgentClient, list(urls), **given)


def share(hub: FakeHub, other: FakeHub) -> None:
    """Make one cluster of the two: what one knows of the agents, the other does."""
    other.agents = hub.agents


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """The URL of a stopped hub: its kernel accepts connections, and no answer ever comes."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


# --- the start -----------------------------------------------------------------------------------


async def test_a_fleet_starts_at_hubs_drawn_by_chance(hub: FakeHub, other: FakeHub) -> None:
    chance = random.Random(3).random
    agents = [client(hub.url, other.url, shuffle=True, chance=chance) for _ in range(40)]
    for agent in agents:
        await agent.start()
    assert 10 < len(hub.handshakes) < 30
    assert len(hub.handshakes) + len(other.handshakes) == 40
    for agent in agents:
        await agent.close()


async def test_one_text_may_name_several_hubs(hub: FakeHub, other: FakeHub) -> None:
    hub.handshake = (502, {}, {})
    text = f"{hub.url}, {other.url}"
    async with AgentClient(text, name="cost-1", type="cost", shuffle=False) as agent:
        assert agent.connected
    assert (len(hub.handshakes), len(other.handshakes)) == (1, 1)


@pytest.mark.usefixtures("_short_attempts")
async def test_a_hub_that_accepts_but_never_answers_does_not_hold_the_agent_up(
    hub: FakeHub, waits: Waits
) -> None:
    async with (
        asyncio.timeout(5),
        black_hole() as url,
        client(url, hub.url, request_timeout=60, sleep=waits) as agent,
    ):
        assert agent.connected
        assert not waits


@pytest.mark.usefixtures("_short_attempts")
async def test_a_hub_that_connects_but_does_not_register_does_not_hold_the_agent_up(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    hub.on("register", silent)
    async with asyncio.timeout(5):
        async with client(hub.url, other.url, request_timeout=60, sleep=waits) as agent:
            assert agent.connected
            assert not waits
    assert other.peer.ops() == ["register", "unregister"]
    await eventually(lambda: hub.peer.websocket.close_code is not None)


# --- losing a hub --------------------------------------------------------------------------------


async def test_after_a_connection_that_just_broke_it_returns_to_the_same_hub(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    async with client(hub.url, other.url, sleep=waits) as agent:
        hub.peer.abort()
        await hub.heard("resume")
        await agent.wait_connected()
        assert waits == [1.0]  # half of the spread
    assert not other.handshakes


async def test_it_resumes_at_another_hub_when_its_own_is_gone(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    async with client(hub.url, other.url, sleep=waits) as agent:
        hub.handshake = (502, {}, {})
        hub.peer.abort()
        await other.heard("resume")
        await agent.wait_connected()
        assert agent.epoch == 2
        assert waits == [1.0]  # the next hub's turn came without another wait
        hub.handshake = None
        other.peer.abort()
        await other.heard("resume", 2)
    assert len(hub.handshakes) == 2, "the hub that refused was not asked again"


@pytest.mark.parametrize(
    ("end", "wait"),
    [((1001, "hub going away, retry in 7 s"), 3.5), ((1001, ""), 1.0), ((1011, "failed"), 1.0)],
)
async def test_a_hub_that_goes_away_or_failed_is_left_for_another(
    hub: FakeHub, other: FakeHub, waits: Waits, end: tuple[int, str], wait: float
) -> None:
    share(hub, other)
    async with client(hub.url, other.url, sleep=waits) as agent:
        await hub.peer.close(*end)
        await other.heard("resume")
        await agent.wait_connected()
        assert waits == [wait]
    assert len(hub.handshakes) == 1


async def test_in_a_rolling_restart_every_move_is_a_resume(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    seen: list[Lease] = []
    async with client(hub.url, other.url, sleep=waits, on_connected=seen.append) as agent:
        for leaving, coming in [(hub, other), (other, hub), (hub, other)]:
            moved = len(coming.requests("resume")) + 1
            leaving.handshake = (503, {"error": "stopping"}, {"Retry-After": "1"})
            await leaving.peer.close(1001, "hub going away, retry in 0.4 s")
            await coming.heard("resume", moved)
            await agent.wait_connected()
            leaving.handshake = None
        assert agent.epoch == 4
        await eventually(lambda: len(seen) == 4)
    assert waits == [0.2, 0.2, 0.2]
    assert len(hub.requests("register") + other.requests("register")) == 1


async def test_one_hub_that_cannot_resume_it_now_is_no_reason_to_register_anew(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    other.on("resume", lambda _p, _r: error("unavailable", retryable=True, retry_after=1.0))
    async with client(hub.url, other.url, sleep=waits) as agent:
        await hub.peer.close(1001, "retry in 0.4 s")
        await hub.heard("resume")
        await agent.wait_connected()
        assert waits == [0.2]
    assert not other.requests("register")
    assert len(hub.requests("register")) == 1


async def test_it_registers_under_its_id_at_a_hub_that_does_not_know_it(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    async with client(hub.url, other.url, sleep=waits) as agent:
        await hub.peer.close(1001)
        await other.heard("register")
        await agent.wait_connected()
        assert other.peer.ops() == ["resume", "register"]
        assert other.requests("register")[0]["agent_id"] == agent.agent_id


async def test_with_all_hubs_away_it_waits_between_the_rounds_only(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    async with client(hub.url, other.url, sleep=waits) as agent:
        hub.handshake = other.handshake = (502, {}, {})
        hub.peer.abort()
        await eventually(lambda: len(waits) >= 5)
        assert waits[:5] == [1.0, 1.0, 1.0, 1.0, 2.0]
        other.handshake = None
        await other.heard("resume")
        await agent.wait_connected()


# --- silent hubs ---------------------------------------------------------------------------------


async def test_a_hub_that_fell_silent_is_left_for_another_long_before_the_next_heartbeat(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    lost: list[HomeportError] = []
    async with client(
        hub.url,
        other.url,
        keepalive=0.05,
        request_timeout=0.5,
        sleep=waits,
        on_disconnected=lost.append,
    ) as agent:
        hub.peer.websocket.transport.pause_reading()  # as a stopped process: no pongs
        await other.heard("resume")
        await agent.wait_connected()
        [error] = lost
        assert "did not answer within 0.5 s" in str(error)
    assert not hub.requests("heartbeat")
    assert len(hub.handshakes) == 1


async def test_a_quiet_hub_that_answers_pings_is_stayed_with(hub: FakeHub, other: FakeHub) -> None:
    async with client(hub.url, other.url, keepalive=0.02) as agent:
        await asyncio.sleep(0.3)
        await agent.report()
    assert len(hub.handshakes) == 1
    assert not other.handshakes


async def test_a_hub_whose_socket_lives_but_whose_brain_does_not_is_left(
    other: FakeHub, waits: Waits
) -> None:
    async with FakeHub(heartbeat_interval=0.02) as hub:
        share(hub, other)
        hub.on("heartbeat", silent)
        async with client(hub.url, other.url, request_timeout=0.3, sleep=waits) as agent:
            await other.heard("resume")
            await agent.wait_connected()


# --- being fenced --------------------------------------------------------------------------------


async def test_how_its_old_connection_ends_does_not_matter(other: FakeHub, waits: Waits) -> None:
    fenced: list[Fenced] = []
    async with FakeHub(heartbeat_interval=0.02) as hub:
        share(hub, other)
        hub.on("heartbeat", silent)
        async with client(
            hub.url, other.url, request_timeout=0.3, sleep=waits, on_fenced=fenced.append
        ) as agent:
            await other.heard("resume")
            await agent.wait_connected()
            await hub.peers[0].close(4409, "a newer session took over")
            await agent.report()
            assert agent.connected
    assert not fenced


@pytest.mark.usefixtures("_short_attempts")
async def test_a_late_resume_by_itself_at_a_suspended_hub_does_not_stop_it_for_good(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    share(hub, other)
    fenced: list[Fenced] = []
    lost: list[HomeportError] = []
    async with client(
        hub.url, other.url, sleep=waits, on_fenced=fenced.append, on_disconnected=lost.append
    ) as agent:
        hub.on("resume", silent)
        hub.peer.abort()
        await other.heard("resume")  # the hub did not answer: a stray
        await agent.wait_connected()
        hub.agents[agent.agent_id]["epoch"] += 1  # the hub wakes up, and handles it
        await other.peer.close(4409, "a newer session took over")
        await other.heard("resume", 2)
        await agent.wait_connected()
        assert agent.epoch == 4
        assert not fenced
        assert isinstance(lost[-1], ConnectionLost)
        assert "earlier attempt" in str(lost[-1])
        # One stray explains one such end, and no more.
        await other.peer.close(4409, "a newer session took over")
        with pytest.raises(Fenced):
            await agent.wait_ended()
    assert len(fenced) == 1


async def register_anew_elsewhere(hub: FakeHub, *found: Message) -> None:
    """Let the id of the agent at `hub` be registered at another hub.

    `found` are the records that `hub` answers with from then on, one after the other.
    """
    records = iter(found)
    hub.on("resume", lambda _p, _r: error("fenced", "superseded"))
    hub.on("get", lambda _p, _r: {"op": "agent", "agent": next(records)})
    await hub.peer.close(4409, "a newer session took over")


def held(connection: str) -> Message:
    """The record as a newer registration left it."""
    return wire_record(epoch=2, connection=connection)


@pytest.mark.usefixtures("_short_attempts")
async def test_a_late_registration_by_itself_is_recognized_by_its_dead_connection(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    hub.on("register", silent)
    fenced: list[Fenced] = []
    async with client(hub.url, other.url, sleep=waits, on_fenced=fenced.append) as agent:
        # The suspended hub notices only a moment later that the connection is gone.
        await register_anew_elsewhere(other, held("websocket"), held("lost"))
        await other.heard("register", 2)
        await agent.wait_connected()
        assert len(other.requests("get")) == 2
        assert waits == [1.0, 0.5]
    assert not fenced


@pytest.mark.usefixtures("_short_attempts")
async def test_another_program_s_session_stops_it_even_when_strays_are_about(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    hub.on("register", silent)
    async with client(hub.url, other.url, sleep=waits) as agent:
        await register_anew_elsewhere(other, *[held("websocket")] * 3)
        with pytest.raises(Fenced):
            await agent.wait_ended()
    assert len(other.requests("register")) == 1
    assert len(other.requests("get")) == 3


async def test_a_refused_attempt_is_no_stray(hub: FakeHub, other: FakeHub, waits: Waits) -> None:
    async with client(hub.url, other.url, sleep=waits) as agent:
        hub.agents.clear()  # not found: registered anew
        hub.peer.abort()
        await hub.heard("register", 2)
        await agent.wait_connected()
        await hub.peer.close(4409, "a newer session took over")
        with pytest.raises(Fenced):
            await agent.wait_ended()
    assert len(hub.handshakes) == 2


# --- lease, errors and logs ----------------------------------------------------------------------


async def test_leases_errors_and_logs_say_which_hub(
    hub: FakeHub, other: FakeHub, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="homeport.client")
    share(hub, other)
    first, second = (f"ws://127.0.0.1:{each.port}/ws" for each in (hub, other))
    leases: list[Lease] = []
    lost: list[HomeportError] = []
    secretly = hub.url.replace("http://", "http://user:password@")
    async with client(
        secretly, other.url, sleep=waits, on_connected=leases.append, on_disconnected=lost.append
    ) as agent:
        hub.on("resume", lambda _p, _r: error("unavailable", "its Redis is away", retryable=True))
        hub.peer.abort()
        await other.heard("resume")
        await agent.wait_connected()
        await eventually(lambda: len(leases) == 2)
        assert [lease.url for lease in leases] == [first, second]
        assert [error.url for error in lost] == [first]
    logged = caplog.text
    assert f"registered at {first}" in logged
    assert f"lost the hub {first}: the connection to the hub broke" in logged
    assert f"{first}: its Redis is away" in logged
    assert f"resumed at {second}" in logged
    assert "password" not in logged
