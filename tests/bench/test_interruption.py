"""Ctrl-C in the middle of a scenario leaves nothing behind: no process, no directory."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 30.0


async def processes() -> dict[int, tuple[int, str]]:
    """Every process of this machine but the ended ones: its parent's id and its command."""
    listing = await asyncio.create_subprocess_exec(
        *("ps", "-A", "-o", "pid=,ppid=,stat=,args="), stdout=PIPE
    )
    out, _ = await listing.communicate()
    found = {}
    for line in out.decode(errors="replace").splitlines():
        pid, parent, state, *command = line.split(None, 3)
        if not state.startswith("Z"):
            found[int(pid)] = (int(parent), "".join(command))
    return found


async def descendants(pid: int) -> dict[int, str]:
    """The processes below this one."""
    everyone = await processes()
    found: dict[int, str] = {}
    reached = {pid}
    while True:
        more = {
            each: command
            for each, (parent, command) in everyone.items()
            if parent in reached and each not in reached
        }
        if not more:
            return found
        found.update(more)
        reached.update(more)


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["silence", "--agents", "4", "--spread", "60"], signal.SIGINT),
        (["silence", "--agents", "4", "--spread", "60"], signal.SIGTERM),
        (["heartbeats", "--seconds", "30"], signal.SIGINT),
    ],
)
async def test_an_interrupted_scenario_ends_all_that_it_started(
    arguments: list[str], number: signal.Signals
) -> None:
    temporary = Path("/tmp") / f"hpi-{os.getpid()}-{number}"
    temporary.mkdir()
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        # The hub, its store, and the load.
        until = time.monotonic() + LIMIT
        while len(started := await descendants(running.pid)) < 3:
            assert time.monotonic() < until, started
            await asyncio.sleep(0.05)

        running.send_signal(number)
        out, err = await asyncio.wait_for(running.communicate(), LIMIT)

        assert running.returncode == 1
        assert out == b""
        assert b"interrupted; everything that was started has been ended" in err
        assert b"Traceback" not in err
        left = await processes()
        assert {pid: command for pid, command in started.items() if pid in left} == {}
        assert list(temporary.iterdir()) == []
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
        for leftover in temporary.iterdir():
            print("left behind:", leftover)
        temporary.rmdir()
