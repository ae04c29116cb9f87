"""A forked child keeps no connection of its parent, and disturbs none."""

from __future__ import annotations

import os
import signal
import socket
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_client.forks import close_in_children
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.agent_client.forking import HEAD
from tests.support.fake_hub import ThreadedHub, running_hub
from tests.support.proxies import StubProxy
from tests.support.tls import CERTIFICATE, server_context
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

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


# --- descriptors ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
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
