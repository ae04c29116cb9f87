"""What the hub says of an agent whose program blocks its event loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Hub, Place
from tests.support.programs import Program, environment
from tests.support.waiting import wait_until

INTERVAL, TIMEOUT, LEASE = 0.5, 2.5, 3.0
LONG = 60.0
"""Seconds that nothing on a slow machine takes."""

PROGRAM = """
import asyncio, os, sys, time
from agent_client import AgentClient

async def main(url, in_thread):
    async with AgentClient(url, name="thinker", type="test", heartbeat_in_thread=in_thread):
        print("here", flush=True)
        while True:
            while os.path.exists("block"):
                time.sleep(0.05)
            await asyncio.sleep(0.01)

asyncio.run(main(sys.argv[1], sys.argv[2] == "thread"))
"""


class Thinker:
    """An agent whose program blocks its loop on demand."""

    def __init__(self, program: Program, place: Place, directory: Path) -> None:
        self._program = program
        self._place = place
        self._block = directory / "block"

    def block(self) -> None:
        self._block.touch()

    def unblock(self) -> None:
        self._block.unlink()

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self._place.listed().values()
        return record

    @property
    def health(self) -> tuple[str, str, str]:
        record = self.record
        health = record["health"]
        return record["status"], health["connection"], health["reason"]


@contextmanager
def thinker(hub: Hub, place: Place, directory: Path, how: str) -> Iterator[Thinker]:
    command = [sys.executable, "-c", PROGRAM, hub.url, how]
    program = Program(command, directory / "log", cwd=directory, env=environment(directory))
    program.launch()
    try:
        assert program.read_line() == "here\n"
        yield Thinker(program, place, directory)
    finally:
        program.kill()
        program.end()


Start = Callable[[float, float], Place]


@pytest.fixture
def start(start_hub: Callable[..., Hub], enter: Callable[..., Place]) -> Start:
    """Starts a hub with these times: heartbeat_timeout and lease_ttl."""

    def begin(timeout: float, lease: float) -> Place:
        times = [
            *("--heartbeat-interval", str(INTERVAL)),
            *("--heartbeat-timeout", str(timeout)),
            *("--lease-ttl", str(lease)),
        ]
        return enter(start_hub("--redis", "memory://", *times), None)

    return begin


def test_with_its_session_in_a_thread_it_is_overdue_and_keeps_its_lease(
    start: Start, tmp_path: Path
) -> None:
    place = start(TIMEOUT, LEASE)
    with thinker(place.hub, place, tmp_path, "thread") as agent:
        epoch = agent.record["epoch"]
        agent.block()
        wait_until(lambda: agent.health == ("unhealthy", "websocket", "heartbeat_overdue"))
        until = time.monotonic() + TIMEOUT + LEASE
        while time.monotonic() < until:
            assert agent.health == ("unhealthy", "websocket", "heartbeat_overdue")
        agent.unblock()
        wait_until(lambda: agent.health == ("healthy", "websocket", "ok"))
        assert agent.record["epoch"] == epoch, "the session went on"


def test_without_it_is_unreachable_until_its_loop_turns(start: Start, tmp_path: Path) -> None:
    place = start(TIMEOUT, LONG)
    with thinker(place.hub, place, tmp_path, "loop") as agent:
        epoch = agent.record["epoch"]
        agent.block()
        wait_until(lambda: agent.record["status"] == "unreachable")
        assert agent.health[2] == "heartbeat_timeout"
        agent.unblock()
        wait_until(lambda: agent.health == ("healthy", "websocket", "ok"))
        assert agent.record["epoch"] > epoch, "it had to resume"


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_a_block_shorter_than_the_timeout_changes_nothing(
    start: Start, tmp_path: Path, how: str
) -> None:
    """It is blocked for several heartbeats."""
    place = start(LONG, 2 * LONG)
    with thinker(place.hub, place, tmp_path, how) as agent:
        revision = agent.record["revision"]
        agent.block()
        time.sleep(4 * INTERVAL)
        agent.unblock()
        seen = agent.record["last_seen"]
        wait_until(lambda: agent.record["last_seen"] > seen)
        assert agent.health == ("healthy", "websocket", "ok")
        assert agent.record["revision"] == revision, "no event"
