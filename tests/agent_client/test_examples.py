"""The examples run, say what they do, and end by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.support.fake_hub import FakeHub, event, snapshot, watching
from tests.support.legacy_hub import LegacyHub
from tests.support.records import wire_record

EXAMPLES = Path(__file__).parents[2] / "examples"


async def run(name: str, *arguments: str, url: str | None = None) -> tuple[int | None, str, str]:
    environment = {**os.environ, **({"HOMEPORT_URL": url} if url else {})}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_agent_registers_reports_and_unregisters(hub: FakeHub) -> None:
    status, out, err = await run("agent.py", hub.url, "--seconds", "1.5")
    assert (status, err) == (0, "")
    assert "registered as " in out
    assert "reported load " in out
    assert out.rstrip().endswith("time is up, unregistering")
    assert hub.peer.ops() == ["register", "heartbeat", "unregister"]


async def test_the_agent_unregisters_when_it_is_stopped(hub: FakeHub) -> None:
    for signum, status in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)):
        command = [sys.executable, str(EXAMPLES / "agent.py"), hub.url]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        assert process.stdout is not None
        while not (await process.stdout.readline()).startswith(b"reported load "):
            pass
        process.send_signal(signum)
        out, err = await process.communicate()
        assert (process.returncode, err) == (status, b"")
        assert out.decode().splitlines()[-1] == "stopped, unregistering"
        assert hub.peer.ops()[-1] == "unregister"


async def test_the_watcher_prints_what_happens(hub: FakeHub) -> None:
    answers = [watching(1), snapshot(wire_record(1), revision=1), event(2, "registered")]
    hub.on("watch", lambda _p, _r: answers)
    status, out, err = await run("watcher.py", "--type", "cost", "--seconds", "2", url=hub.url)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "1 agents at revision 1"
    assert "a1  healthy (ok)" in lines[1]
    assert lines[2].startswith("2  registered  ")
    assert lines[-1] == "time is up"
    assert hub.requests("watch")[0]["filter"] == {"type": "cost"}


async def test_the_legacy_agent_registers_heartbeats_and_unregisters() -> None:
    with LegacyHub() as hub:
        status, out, err = await run("legacy_agent.py", "--seconds", "0.5", url=hub.url)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == "unregistered"
        assert hub.paths("/heartbeat")
        assert not hub.agents


async def test_without_a_hub_they_fail_with_one_plain_line() -> None:
    async with FakeHub() as hub:
        url = hub.url
    for name in ("watcher.py", "legacy_agent.py"):
        status, _, err = await run(name, url, "--seconds", "1")
        assert status == 1
        assert "Traceback" not in err
