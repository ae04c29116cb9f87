"""Processes: a child keeps no connection of its parent, and says whose the clients are."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentClient, AgentRegistration, Hub, HubClient
from agent_client.forks import close_in_children
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.support.fake_hub import ThreadedHub, running_hub
from tests.support.legacy_hub import LegacyHub
from tests.support.programs import END_LIMIT as COMMAND_LIMIT
from tests.support.programs import environment
from tests.support.proxies import StubProxy
from tests.support.tls import CERTIFICATE, server_context
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

ROOT = str(Path(__file__).parents[2])

HEAD = """
import multiprocessing, uvloop, warnings
from concurrent.futures import ProcessPoolExecutor
from agent_client import AgentRegistration, Hub, HubClient

warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: a fork beside threads
fork = multiprocessing.get_context("fork")

def run_with(loop, main):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main)

def forked(function):
    process = os.fork()
    if process:
        return process
    try:
        function()
    except BaseException as error:
        say(type(error).__name__, error)
        os._exit(1)
    os._exit(0)
"""

LOOPS = ["asyncio.new_event_loop", "uvloop.new_event_loop"]

HOWS = {
    "os.fork": "child = forked(lambda: time.sleep(60))",
    "multiprocessing": """
        worker = fork.Process(target=time.sleep, args=(60,))
        worker.start()
        child = worker.pid""",
    "a pool": """
        pool = ProcessPoolExecutor(1, mp_context=fork)
        pool.submit(time.sleep, 60)
        child = next(iter(pool._processes))""",
}


@pytest.fixture
def hub() -> Iterator[ThreadedHub]:
    with running_hub(heartbeat_interval=3600) as running:
        yield running


def ended(hub: ThreadedHub) -> bool:
    """Whether every connection to the hub has ended."""
    return all(peer.websocket.close_code is not None for peer in hub.peers)


def kill_the_parent_of_a_worker(hub: ThreadedHub, program: str, tmp_path: Path, count: int) -> None:
    """The program prints its worker's pid once it has `count` connections; both are killed."""
    with running(hub, HEAD + program, tmp_path) as process:
        worker = int(process.read_line())
        try:
            assert len(hub.peers) == count
            assert not ended(hub)
            assert process.process is not None
            process.process.kill()
            process.process.wait()
            wait_until(lambda: ended(hub), 10, what="the end of the connections")
            os.kill(worker, 0)  # it lives on
        finally:
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", HOWS)
def test_a_killed_agent_is_known_at_once_though_its_worker_lives_on(
    how: str, loop: str, hub: ThreadedHub, tmp_path: Path
) -> None:
    program = f"""
async def main():
    async with client(), HubClient(sys.argv[1]) as other, other.watch() as watch:
        await other.ping()
        await anext(watch)
        {textwrap.dedent(HOWS[how]).strip().replace(chr(10), chr(10) + " " * 8)}
        say(child)
        await asyncio.sleep(60)

run_with({loop}, main())
"""
    kill_the_parent_of_a_worker(hub, program, tmp_path, 3)


def test_so_it_is_with_the_sessions_and_hubs_of_background_threads(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    program = """
async def main():
    async with client(heartbeat_in_thread=True):
        with Hub(sys.argv[1]) as other:
            other.ping()
            say(forked(lambda: time.sleep(60)))
            await asyncio.sleep(60)

asyncio.run(main())
"""
    kill_the_parent_of_a_worker(hub, program, tmp_path, 2)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
def test_so_it_is_through_a_proxy(kind: str, loop: str, hub: ThreadedHub, tmp_path: Path) -> None:
    with StubProxy(hub.port, tls=kind == "https") as proxy:
        program = f"""
os.environ["SSL_CERT_FILE"] = {str(CERTIFICATE)!r}
os.environ["all_proxy"] = "{kind}://localhost:{proxy.port}"
async def main():
    async with AgentClient("http://hub.test:8080", name="a", type="test"):
        say(forked(lambda: time.sleep(60)))
        await asyncio.sleep(60)

run_with({loop}, main())
"""
        kill_the_parent_of_a_worker(hub, program, tmp_path, 1)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [False, True])
def test_a_child_that_ends_or_works_on_does_not_disturb_its_parent(
    tls: bool, loop: str, tmp_path: Path
) -> None:
    program = f"""
import gc

os.environ["SSL_CERT_FILE"] = {str(CERTIFICATE)!r}

def work():
    global agent
    del agent
    gc.collect()
    asyncio.run(asyncio.sleep(0.1))

def leave():
    sys.exit("left")  # with finalizers, as `os.fork` leaves it to programs

async def main():
    global agent
    url = sys.argv[1].replace("http://127.0.0.1", "https://localhost" if {tls} else "http://localhost")
    agent = AgentClient(url, name="a", type="test")
    async with agent:
        for each in (work, lambda: None, leave):
            os.waitpid(forked(each), 0)
        await agent.report(load=0.5)
        slow = asyncio.create_task(agent.update(version="2"))
        await asyncio.sleep(0.05)
        os.waitpid(forked(lambda: None), 0)  # amid a request
        say(type(await slow).__name__, agent.connected)

run_with({loop}, main())
"""

    def later(_peer: object, _request: object) -> Any:
        time.sleep(0.5)
        return {"op": "updated", "log": "log-a", "revision": 7}

    with running_hub(3600, server_context() if tls else None) as hub:
        hub.on("update", later)
        with running(hub, HEAD + program, tmp_path) as process:
            assert process.wait(END_LIMIT) == 0, process.log()
            assert rest(process).splitlines()[-1] == "Updated True"
        assert hub.ops() == ["register", "heartbeat", "update", "unregister"]


@pytest.mark.parametrize("loop", LOOPS)
def test_so_it_is_with_tls(loop: str, tmp_path: Path) -> None:
    program = f"""
os.environ["SSL_CERT_FILE"] = {str(CERTIFICATE)!r}

async def main():
    url = sys.argv[1].replace("http://127.0.0.1", "https://localhost")
    async with AgentClient(url, name="a", type="test"):
        say(forked(lambda: time.sleep(60)))
        await asyncio.sleep(60)

run_with({loop}, main())
"""
    with running_hub(3600, server_context()) as hub:
        kill_the_parent_of_a_worker(hub, program, tmp_path, 1)


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


# --- descriptors ---------------------------------------------------------------------------------


def test_the_number_stays_taken_by_nothing() -> None:
    ours, theirs = socket.socketpair()
    closed, other = socket.socketpair()
    close_in_children(ours)
    close_in_children(closed)
    number = closed.fileno()
    closed.close()
    os.dup2(other.fileno(), number)  # taken by something else since
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        same = os.fstat(number).st_ino == os.fstat(other.fileno()).st_ino
        null = os.fstat(ours.fileno()).st_rdev == os.stat(os.devnull).st_rdev
        os.write(writes, f"{same} {null} {os.get_inheritable(ours.fileno())}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reads, 100) == b"True True False"
    theirs.sendall(b"x")
    assert ours.recv(1) == b"x"
    for each in (ours, theirs, other):
        each.close()
    for each in (number, reads, writes):
        os.close(each)
