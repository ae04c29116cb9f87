"""A session in a thread outlives its program's blocked loop, and tells no heartbeats meanwhile."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, BadRequest, ConnectionLost, HomeportError, Lease
from agent_client.loop_thread import SHARED
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.support.fake_hub import ThreadedHub, error, eventually, running_hub, silent
from tests.support.waiting import wait_until

LIMIT = 20.0
INTERVAL = 0.5
"""Seconds between heartbeats, as `running_hub` tells them."""


@pytest.fixture(name="hub")
def _hub() -> Iterator[ThreadedHub]:
    with running_hub() as hub:
        yield hub


def client(hub: ThreadedHub, *, heartbeat_in_thread: bool = True, **more: Any) -> AgentClient:
    return AgentClient(
        hub.url, name="cost-1", type="cost", heartbeat_in_thread=heartbeat_in_thread, **more
    )


async def test_it_registers_reports_updates_and_unregisters(hub: ThreadedHub) -> None:
    async with client(hub) as agent:
        assert agent.connected
        await agent.report(load=0.5)
        assert (await agent.update(version="2")).revision == hub.revision
        assert agent.lease is not None
        assert agent.lease.agent_id == agent.agent_id
    ops = [op for op in hub.ops() if op != "heartbeat"]
    assert ops == ["register", "update", "unregister"]
    assert any(request.get("load") == 0.5 for request in hub.requests("heartbeat"))


async def test_a_blocked_loop_answers_pings_and_sends_no_heartbeat(hub: ThreadedHub) -> None:
    async with client(hub):
        await asyncio.to_thread(hub.wait_for, "heartbeat")
        before = len(hub.requests("heartbeat"))
        for _ in range(3):
            _pong(hub)
            time.sleep(INTERVAL)  # noqa: ASYNC251 - the loop is to be blocked
        assert len(hub.requests("heartbeat")) <= before + 1, "one may have been on its way"
        before = len(hub.requests("heartbeat"))
        await eventually(lambda: len(hub.requests("heartbeat")) > before, "a heartbeat")
    assert len(hub.peers) == 1


@pytest.mark.parametrize(
    ("in_thread", "words"),
    [
        (False, "the event loop did not turn for"),
        (True, "no heartbeat is sent until it does"),
    ],
)
async def test_a_program_that_blocks_its_loop_is_told_so(
    hub: ThreadedHub, caplog: pytest.LogCaptureFixture, in_thread: bool, words: str
) -> None:
    """After a third of `heartbeat_timeout`, or of `keepalive` without an answer of the loop."""
    hub.on("register", lambda _p, r: _times(hub.registered(r["agent_id"], resumed=False)))
    agent = client(hub, keepalive=0.1, heartbeat_in_thread=in_thread)
    async with agent:
        for count in range(1, 20, 2):  # it may just have waited for an answer
            await asyncio.to_thread(hub.wait_for, "heartbeat", count)
            time.sleep(3 * INTERVAL)  # noqa: ASYNC251 - the loop is to be blocked
            await asyncio.to_thread(hub.wait_for, "heartbeat", count + 2)
            if words in caplog.text:
                break
        assert words in caplog.text
        assert agent.agent_id in caplog.text


async def test_where_the_thread_stood_still_no_thread_is_advised(
    hub: ThreadedHub, caplog: pytest.LogCaptureFixture
) -> None:
    async def stand_still() -> None:
        time.sleep(3 * INTERVAL)  # noqa: ASYNC251 - as code that holds Python's lock would

    hub.on("register", lambda _p, r: _times(hub.registered(r["agent_id"], resumed=False)))
    async with client(hub):
        for _ in range(20):
            await SHARED.run(stand_still())
            await asyncio.sleep(INTERVAL / 10)
            if "stood still" in caplog.text:
                break
        assert "the process stood still for" in caplog.text
        assert "heartbeat_in_thread" not in caplog.text


async def test_a_connection_that_breaks_while_the_loop_is_blocked_is_resumed(
    hub: ThreadedHub,
) -> None:
    connected: list[Lease] = []
    async with client(hub, on_connected=connected.append) as agent:
        hub.close_connections(1012)
        assert hub.wait_for("resume")["agent_id"] == agent.agent_id  # blocks
        _pong(hub)
        assert len(connected) <= 1, "callbacks wait for the loop"
        await eventually(lambda: len(connected) == 2, "both callbacks")
    assert [lease.resumed for lease in connected] == [False, True]


async def test_callbacks_run_on_the_program_s_loop(hub: ThreadedHub) -> None:
    where: list[tuple[threading.Thread, asyncio.AbstractEventLoop]] = []

    async def connected(lease: Lease) -> None:
        where.append((threading.current_thread(), asyncio.get_running_loop()))

    def disconnected(lost: HomeportError) -> None:
        where.append((threading.current_thread(), asyncio.get_running_loop()))

    async with client(hub, on_connected=connected, on_disconnected=disconnected):
        hub.close_connections(1012)
        await eventually(lambda: len(where) == 3, "three calls")
    assert set(where) == {(threading.current_thread(), asyncio.get_running_loop())}


async def test_a_refusal_reaches_the_caller(hub: ThreadedHub) -> None:
    async with client(hub) as agent:
        hub.on("update", lambda _p, _r: error("bad_request", field="version"))
        with pytest.raises(BadRequest):
            await agent.update(version="2")
        with pytest.raises(BadRequest):
            await agent.report(load=-1)


async def test_a_caller_that_is_cancelled_does_not_cancel_what_it_reported(
    hub: ThreadedHub,
) -> None:
    async with client(hub) as agent:
        hub.on("update", silent)
        report = asyncio.create_task(agent.update(version="2"))
        await asyncio.to_thread(hub.wait_for, "update")
        report.cancel()
        with pytest.raises(asyncio.CancelledError):
            await report
        hub.behave("update")
        hub.close_connections(1012)
        again = await asyncio.to_thread(hub.wait_for, "update", 2)
        assert again["version"] == "2"


async def test_a_call_that_times_out_is_ended_by_its_timeout(hub: ThreadedHub) -> None:
    async with client(hub) as agent:
        hub.on("update", silent)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await agent.update(version="2")


async def test_a_start_that_is_cancelled_leaves_nothing_behind(hub: ThreadedHub) -> None:
    hub.on("register", silent)
    agent = client(hub)
    starting = asyncio.create_task(agent.start())
    await asyncio.to_thread(hub.wait_for, "register")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ConnectionLost, match="closed"):
        await agent.wait_ended()


async def test_closing_ends_who_waits(hub: ThreadedHub) -> None:
    agent = client(hub)
    await agent.start()
    waiting = asyncio.create_task(agent.wait_ended())
    await asyncio.sleep(0)
    await agent.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await waiting


def test_an_agent_whose_program_s_loop_was_closed_is_unregistered(hub: ThreadedHub) -> None:
    agent = client(hub)
    asyncio.run(agent.start())
    hub.wait_for("unregister")
    # The hub hears of it before the client's thread has read the answer.
    wait_until(lambda: not agent.connected)


def test_a_forked_child_cannot_use_the_client_of_its_parent(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    program = """
    async def main():
        async with client(heartbeat_in_thread=True) as agent:
            child = os.fork()
            if not child:
                try:
                    await agent.report(load=0.5)
                except RuntimeError as error:
                    say(error)
                os._exit(0)
            os.waitpid(child, 0)
            await agent.report(load=0.6)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        said = rest(process)
    assert re.fullmatch(r"this AgentClient belongs to process \d+, from which .*\n", said)
    loads = {request.get("load") for request in hub.requests("heartbeat")}
    assert 0.5 not in loads
    assert 0.6 in loads


def test_two_programs_loops_share_the_thread(hub: ThreadedHub) -> None:
    def names() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "homeport"]

    async def main() -> None:
        async with client(hub), client(hub):
            assert names() == ["homeport"]

    for _ in range(2):
        asyncio.run(main())
    assert hub.ops().count("unregister") == 4


def _times(registered: dict[str, Any]) -> dict[str, Any]:
    return {**registered, "heartbeat_timeout": 2 * INTERVAL}


def _pong(hub: ThreadedHub) -> None:
    """Ping the client's newest connection, and wait for its pong; this blocks the caller."""

    async def ping() -> None:
        await (await hub.peer.websocket.ping())

    asyncio.run_coroutine_threadsafe(ping(), hub._loop).result(LIMIT)
