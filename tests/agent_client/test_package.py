"""The package as a whole: its names, its weight, where it can be imported."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import agent_client
from tests.support.fake_hub import FakeHub


def test_the_exported_names_are_these() -> None:
    assert sorted(agent_client.__all__) == [
        "AgentClient",
        "AgentRecord",
        "AgentRegistration",
        "AgentRemoved",
        "AlreadyRegistered",
        "Backoff",
        "BadRequest",
        "BadURL",
        "CannotConnect",
        "Conflict",
        "ConnectionLost",
        "Event",
        "Fenced",
        "Filter",
        "Forbidden",
        "Health",
        "HeartbeatAck",
        "HomeportError",
        "HubClient",
        "HubStatus",
        "Hubs",
        "Internal",
        "Lease",
        "LossAcknowledged",
        "NoMatch",
        "NotFound",
        "NotRegistered",
        "RateLimited",
        "Reading",
        "Resync",
        "Snapshot",
        "Timeout",
        "TooLarge",
        "Unauthorized",
        "Unavailable",
        "UnknownOp",
        "Updated",
        "Watch",
        "WatchItem",
    ]
    for name in agent_client.__all__:
        assert hasattr(agent_client, name)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ["redis", "starlette", "uvicorn", "structlog", "click", "rich", "requests", "hub"]
    code = f"import agent_client, sys; print([n for n in {heavy} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


PROGRAM = """
import asyncio, sys
from agent_client import AgentClient, HubClient

async def main(url):
    async with AgentClient(url, name="cost-1", type="cost") as agent, HubClient(url) as hub:
        await agent.report(load=0.5)
        await hub.ping()

asyncio.run(main(sys.argv[1]))
print(*sorted({"protocol", "hub", "actors", "bench"} & set(sys.modules)))
"""


async def test_a_program_may_have_files_named_as_homeport_s_folders(
    hub: FakeHub, tmp_path: Path
) -> None:
    for name in ("protocol", "hub", "actors", "bench"):
        (tmp_path / f"{name}.py").write_text('raise AssertionError("the user\'s file")\n')
    (tmp_path / "program.py").write_text(PROGRAM)
    for how in (["program.py"], ["-m", "program"]):
        program = await asyncio.create_subprocess_exec(
            sys.executable, *how, hub.url, cwd=tmp_path, stdout=PIPE, stderr=PIPE
        )
        out, err = await program.communicate()
        assert (program.returncode, out.decode().strip(), err.decode()) == (0, "", "")
    assert [peer.ops() for peer in hub.peers] == [
        ["register", "heartbeat", "unregister"],
        ["ping"],
        ["register", "heartbeat", "unregister"],
        ["ping"],
    ]
