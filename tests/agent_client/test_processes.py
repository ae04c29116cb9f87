"""Clients in other processes than those they were made in: whose they are, and what works."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, AgentRegistration, Hub, HubClient
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.agent_client.forking import HEAD
from tests.support.fake_hub import ThreadedHub, running_hub
from tests.support.legacy_hub import LegacyHub
from tests.support.programs import END_LIMIT as COMMAND_LIMIT
from tests.support.programs import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def hub() -> Iterator[ThreadedHub]:
    with running_hub(heartbeat_interval=3600) as running:
        yield running


def test_the_child_s_copy_says_whose_it_is(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
async def asked(agent, other, watch):
    calls = dict(
        report=agent.report, update=lambda: agent.update(version="2"), start=agent.start,
        wait_connected=agent.wait_connected, wait_ended=agent.wait_ended,
        find=other.find, ping=other.ping, hubs=other.hubs, anext=watch.__anext__,
        get=lambda: other.get("x"), pick=other.pick, remove=lambda: other.remove("x"),
    )
    for name, call in calls.items():
        try:
            await call()
        except RuntimeError as error:
            say(name, error)
    try:
        other.watch()
    except RuntimeError as error:
        say("watch", error)
    say(agent.connected, other.connected)
    await agent.close()
    await watch.close()
    await other.close()
    async with agent:
        say("never")

def child(*clients):
    try:
        asyncio.run(asked(*clients))
    except RuntimeError as error:
        say("enter", error)

async def main(in_thread):
    agent, other = client(heartbeat_in_thread=in_thread), HubClient(sys.argv[1])
    async with agent, other, other.watch() as watch:
        await anext(watch)
        await other.ping()
        process = fork.Process(target=child, args=(agent, other, watch))
        process.start()
        process.join()
        await agent.report(load=1)
        await other.ping()

say(os.getpid())
for in_thread in (False, True):
    asyncio.run(main(in_thread))
"""
    with running(hub, HEAD + program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0, process.log()
        pid, *said = rest(process).splitlines()
        assert process.log() == ""
    words = f"belongs to process {pid}, from which this one was forked: make one in this process"
    agent = ["report", "update", "start", "wait_connected", "wait_ended"]
    other = ["find", "ping", "hubs", "anext", "get", "pick", "remove", "watch"]
    once = [*agent, *other, "False False", "enter"]
    assert [line.split(" this ")[0] for line in said] == once * 2
    assert all(words in line for line in said if " this " in line)
    ops = [["register", "heartbeat", "unregister"], ["watch"], ["ping", "ping"]]
    assert [peer.ops() for peer in hub.peers] == ops * 2


def test_a_child_that_runs_on_in_its_parent_s_loop_registers_nothing(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    """Which nobody should do: the two share what the loop waits for."""
    program = """
async def main():
    async with client() as agent:
        if os.fork() == 0:
            try:
                await asyncio.sleep(0.5)
                await agent.report()
            except RuntimeError as error:
                say(error)
            finally:
                os._exit(0)
        os.wait()
        await agent.report(load=1)

asyncio.run(main())
"""
    with running(hub, HEAD + program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0, process.log()
    assert [peer.ops() for peer in hub.peers] == [["register", "heartbeat", "unregister"]]


def test_clients_made_before_a_fork_start_in_each_worker(hub: ThreadedHub, tmp_path: Path) -> None:
    """As under gunicorn with `preload_app`."""
    program = """
agent, other, plain = client(), HubClient(sys.argv[1]), Hub(sys.argv[1])

async def serve():
    async with agent, other:
        await other.ping()
        await asyncio.to_thread(plain.ping)
        say(agent.agent_id)
        await agent.wait_ended()

def worker():
    asyncio.run(serve())

workers = [forked(worker) for _ in range(3)]
say(*workers)
for each in workers:
    os.waitpid(each, 0)
"""
    with running(hub, HEAD + program, tmp_path) as process:
        lines = [process.read_line().strip() for _ in range(4)]
        [workers] = [line.split() for line in lines if " " in line]
        ids = {line for line in lines if " " not in line}
        assert len(ids) == 3  # nobody takes another's place
        for worker in workers:
            os.kill(int(worker), signal.SIGTERM)
        assert process.wait(END_LIMIT) == 0, process.log()
    assert {each["agent_id"] for each in hub.requests("register")} == ids
    assert len(hub.requests("unregister")) == 3


def test_an_id_that_was_given_stays_in_a_worker(hub: ThreadedHub, tmp_path: Path) -> None:
    id_ = "5f0c9a1e-3d52-4a8e-9d39-0f1c2d7f5a11"
    program = f"""
agent = client(agent_id={id_!r})

async def serve():
    async with agent:
        pass

os.waitpid(forked(lambda: asyncio.run(serve())), 0)
"""
    with running(hub, HEAD + program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0, process.log()
    assert [each["agent_id"] for each in hub.requests("register")] == [id_]


WORKER = """
import asyncio, sys
from agent_client import AgentClient

async def registered(url, name):
    async with AgentClient(url, name=name, type="test") as agent:
        await agent.report(load=0.5)
        return agent.agent_id

def work(url, name):
    return asyncio.run(registered(url, name))
"""

POOLS = """
import asyncio, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from worker import registered, work
from agent_client import AgentClient

async def main(url, method):
    async with AgentClient(url, name="parent", type="test") as agent:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            loop = asyncio.get_running_loop()
            works = [loop.run_in_executor(pool, work, url, f"w-{n}") for n in range(2)]
            ids = await asyncio.gather(*works)
        await agent.report(load=1)
        print(len({agent.agent_id, *ids}))

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_a_pool_have_agents_of_their_own(
    method: str, hub: ThreadedHub, tmp_path: Path
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "pools.py").write_text(POOLS)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "pools.py", hub.url, method],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "3\n", "")
    assert len(hub.requests("register")) == 3
    assert len(hub.requests("unregister")) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: AgentClient("http://hub", name="a", type="t"),
        lambda: HubClient("http://hub"),
        lambda: Hub("http://hub"),
        lambda: AgentRegistration("a", "t", "h", 1, [], "http://hub"),
    ],
)
def test_a_client_is_not_sent_to_another_process(make: Callable[[], Any]) -> None:
    client = make()
    with pytest.raises(TypeError, match=f"{type(client).__name__} cannot be sent to another"):
        pickle.dumps(client)


# --- AgentRegistration ---------------------------------------------------------------------------


def test_a_child_does_not_end_its_parent_s_registration_and_may_have_another(
    tmp_path: Path,
) -> None:
    program = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
agent = AgentRegistration("a", "test", "h", 1, [], sys.argv[1])
assert agent.register()
agent.start_heartbeat()
first = agent.agent_id

def child():
    agent.unregister()
    agent.stop_heartbeat_loop()
    agent.start_heartbeat()
    say(agent.register(), agent.agent_id != first)
    agent.start_heartbeat()
    agent.unregister()

os.waitpid(forked(child), 0)
say(agent.agent_id == first)
"""
    with LegacyHub() as hub:
        hub.takes_ids = True
        with running(hub, HEAD + program, tmp_path) as process:  # type: ignore[arg-type]
            assert process.wait(END_LIMIT) == 0, process.log()
            *warnings, registered, same = rest(process).splitlines()
        assert (registered, same) == ("True True", "True")
        assert len(warnings) == 3
        assert all("belongs to process" in each for each in warnings)
        [kept] = hub.agents  # the parent's, which has ended without a word
        assert [path for path, *_ in hub.calls if path.endswith("/unregister")] != [
            f"/agents/{kept}/unregister"
        ]


# --- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, 1)])
def test_a_signal_ends_a_forked_child_of_run_and_nobody_else(
    signum: signal.Signals, status: int, hub: ThreadedHub, tmp_path: Path
) -> None:
    program = f"""
async def main():
    async with client() as agent:
        ready, told = fork.Event(), []

        def work():
            ready.set()
            time.sleep(60)

        worker = fork.Process(target=work)
        worker.start()
        await asyncio.to_thread(ready.wait)
        os.kill(worker.pid, {signum.value})
        await asyncio.to_thread(worker.join)
        await agent.report(load=1)
        say(worker.exitcode)

agent_client.run(main)
"""
    with running(hub, HEAD + program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0, process.log()
        assert rest(process) == f"{status}\n"
    assert hub.ops() == ["register", "heartbeat", "unregister"]
