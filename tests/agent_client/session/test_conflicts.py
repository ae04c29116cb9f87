"""AgentClient when another session has its id: told, refused, or let in later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_client import AgentClient, CannotConnect, Conflict, Fenced
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, Message, Peer, error, silent

WORDS = "another living session holds this id: give each program its own agent_id"


def client(hub: FakeHub, **more: Any) -> AgentClient:
    return with_seams(AgentClient, hub.url, **{"name": "cost-1", "type": "cost", **more})


def conflicts(times: int, hub: FakeHub, **more: Any) -> None:
    """Refuse so many registrations; the next ones are granted."""
    left = [times]

    def register(_peer: Peer, request: Message) -> Message:
        if left[0]:
            left[0] -= 1
            return error("conflict", WORDS, **more)
        return hub.registered(request["agent_id"], resumed=False)

    hub.on("register", register)


async def test_it_asks_for_an_exclusive_registration_only_when_told_to(hub: FakeHub) -> None:
    async with client(hub, exclusive=True), client(hub):
        first, second = hub.requests("register")
    assert first["exclusive"] is True
    assert "exclusive" not in second


async def test_a_conflict_that_is_not_retryable_is_raised_at_once(hub: FakeHub) -> None:
    conflicts(1, hub)
    with pytest.raises(Conflict, match="give each program its own"):
        await client(hub, exclusive=True).start()
    assert len(hub.requests("register")) == 1


async def test_a_retryable_one_is_tried_again_as_the_hub_says(hub: FakeHub, waits: Waits) -> None:
    conflicts(3, hub, retryable=True, retry_after=4.0)
    async with client(hub, sleep=waits) as agent:
        assert agent.connected
    assert len(hub.requests("register")) == 4
    assert all(4.0 <= wait <= 30.0 for wait in waits[:3])


async def test_when_the_time_is_up_the_error_says_what_to_do(hub: FakeHub) -> None:
    conflicts(1000, hub, retryable=True, retry_after=0.01)
    with pytest.raises(CannotConnect) as raised:
        await client(hub, connect_timeout=0.5).start()
    assert WORDS in str(raised.value)


async def test_its_own_earlier_attempt_is_no_other_session(hub: FakeHub, waits: Waits) -> None:
    hub.on("register", silent)
    agent = client(hub, exclusive=True, sleep=waits, request_timeout=0.2)
    starting = asyncio.create_task(agent.start())
    await hub.heard("register")
    conflicts(2, hub)  # the hub has made that registration, and has not seen its connection end
    await starting
    assert agent.connected
    assert len(hub.requests("register")) == 4
    await agent.close()


async def test_a_session_that_registers_anew_waits_until_it_may(hub: FakeHub, waits: Waits) -> None:
    async with client(hub, sleep=waits) as agent:
        hub.refuse("resume", "not_found")
        conflicts(2, hub, retryable=True, retry_after=2.0)
        hub.peer.abort()
        await hub.heard("register", 4)
        await agent.wait_connected()
        assert agent.epoch == 2
    assert {request["agent_id"] for request in hub.requests("register")} == {agent.agent_id}


async def test_conflicts_do_not_excuse_a_session_that_takes_over_later(
    hub: FakeHub, waits: Waits
) -> None:
    conflicts(5, hub, retryable=True, retry_after=2.0)
    async with client(hub, sleep=waits) as agent:
        await hub.peer.close(4409, "a newer session of this agent was registered")
        with pytest.raises(Fenced, match="newer session"):
            await agent.wait_ended()
        assert not hub.requests("resume"), "it is over, without asking"
