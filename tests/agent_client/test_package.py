"""The package as a whole: its names, its weight, where it can be imported."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

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
        "BlockingWatch",
        "CannotConnect",
        "Conflict",
        "ConnectionLost",
        "Event",
        "Fenced",
        "Filter",
        "FlappingAgent",
        "Forbidden",
        "Health",
        "HeartbeatAck",
        "HomeportError",
        "Hub",
        "HubClient",
        "HubStatus",
        "Hubs",
        "Internal",
        "Kind",
        "Lease",
        "LossAcknowledged",
        "NoMatch",
        "NotFound",
        "NotRegistered",
        "RateLimited",
        "Reading",
        "Resync",
        "Snapshot",
        "Status",
        "Strategy",
        "Timeout",
        "TooLarge",
        "Unauthorized",
        "Unavailable",
        "UnknownOp",
        "Updated",
        "Watch",
        "WatchItem",
        "run",
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


CLIENTS = [agent_client.AgentClient, agent_client.HubClient]


@pytest.mark.parametrize("public", [*CLIENTS, agent_client.AgentRegistration, agent_client.Backoff])
def test_no_signature_shows_what_only_tests_replace(public: type) -> None:
    shown = str(inspect.signature(public))
    assert "sleep" not in shown
    assert "chance" not in shown
    assert " at 0x" not in shown


@pytest.mark.parametrize("client", CLIENTS)
def test_the_description_of_a_client_fits_on_a_screen(client: type) -> None:
    assert len((inspect.getdoc(client) or "").splitlines()) <= 45


def test_the_client_library_has_one_logger() -> None:
    names = set()
    for _, name, _ in pkgutil.walk_packages(agent_client.__path__, "agent_client."):
        logger = getattr(importlib.import_module(name), "logger", None)
        if logger is not None:
            names.add(logger.name)
    assert names == {"homeport.client"}


async def test_a_repr_tells_who_and_whether_connected_and_no_secret(hub: FakeHub) -> None:
    url = hub.url.replace("http://", "http://me:PASSWORD@")
    agent = agent_client.AgentClient(
        f"{url}/?key=SECRET", name="cost-1", type="cost", token="TOKEN", metadata={"k": "META"}
    )
    caller = agent_client.HubClient(f"{url}/?key=SECRET", token="TOKEN")
    shown_url = hub.url.replace("http://", "ws://")
    who = f"<AgentClient name='cost-1' agent_id='{agent.agent_id}' status="
    assert repr(agent) == f"{who}'healthy' connected=False>"
    assert repr(caller) == f"<HubClient {shown_url}/ws connected=False>"
    async with agent, caller:
        await agent.report(status="degraded")
        await caller.ping()
        watch = caller.watch()
        assert repr(agent) == f"{who}'degraded' connected=True>"
        assert repr(caller) == f"<HubClient {shown_url}/ws connected=True>"
        assert repr(watch) == "<Watch revision=None connected=False>"
        await watch.close()
        assert repr(watch) == "<Watch revision=None closed>"
    assert repr(agent) == f"{who}'degraded' connected=False>"
    assert not caller.connected
