"""Deaths of the server, of its guard, of the hub: nothing is orphaned, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from hub.engine import EmbeddedEngine, EngineError, find_server
from hub.engine import engine as engine_module
from hub.engine import server_process as server_module
from hub.engine.locks import FileLock
from tests.hub.engine.processes import answers, client
from tests.support.programs import alive, parent
from tests.support.waiting import until, wait_until

HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


async def test_a_killed_server_is_started_again_at_the_same_url_with_its_data(
    start_engine, tmp_path
):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    killed = engine.pid
    os.kill(killed, signal.SIGKILL)
    assert await until(lambda: engine.pid not in (killed, None) and answers(url))
    assert client(url).get("kept") == "yes"


async def test_a_killed_guard_takes_the_server_along_and_both_come_back(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    killed = engine.pid
    os.kill(parent(killed), signal.SIGKILL)
    assert await until(lambda: engine.pid not in (killed, None) and answers(url))
    assert not alive(killed)
    assert client(url).get("kept") == "yes"


async def test_a_server_that_was_told_to_shut_down_by_someone_comes_back(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    first = engine.pid
    client(url).set("kept", "yes")
    os.kill(parent(first), signal.SIGTERM)
    assert await until(lambda: engine.pid not in (first, None) and answers(url))
    assert client(url).get("kept") == "yes"


async def test_a_server_whose_socket_was_removed_is_started_again(
    start_engine, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine_module, "CHECK_INTERVAL", 0.05)
    engine, url = await start_engine(tmp_path / "d")
    first = engine.pid
    os.unlink(url.removeprefix("unix://").replace("%20", " "))
    assert await until(lambda: engine.pid not in (first, None) and answers(url))


async def test_restarts_go_on_when_one_fails(start_engine, tmp_path, monkeypatch):
    engine, url = await start_engine(tmp_path / "d")
    failures = [EngineError("gone for a moment"), RuntimeError("a bug")]

    def fails_twice(copy_into):
        if failures:
            raise failures.pop()
        return find_server(copy_into)

    monkeypatch.setattr(engine_module, "find_server", fails_twice)
    os.kill(engine.pid, signal.SIGKILL)
    assert await until(lambda: not failures and engine.pid is not None and answers(url))


async def test_a_guard_that_was_suspended_does_not_hold_up_the_stop(
    start_engine, tmp_path, monkeypatch
):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    os.kill(parent(engine.pid), signal.SIGSTOP)
    monkeypatch.setattr(server_module, "PATIENCE", -1.7)
    await engine.stop()

    _, url = await start_engine(tmp_path / "d")
    assert client(url).get("kept") == "yes"


@pytest.mark.parametrize("group", [False, True])
def test_kill_9_of_the_hub_or_its_group_ends_the_server_and_the_next_hub_has_the_data(
    start_hub, tmp_path, group
):
    hub = start_hub(tmp_path / "d")
    client(hub.url).set("kept", "yes")
    hub.kill(group=group)
    assert wait_until(lambda: not alive(hub.server) and not alive(hub.guard), within=5)

    assert client(start_hub(tmp_path / "d").url).get("kept") == "yes"


def test_a_hub_that_starts_right_after_a_kill_9_waits_for_the_old_server(start_hub, tmp_path):
    for count in range(3):
        hub = start_hub(tmp_path / "d")
        assert client(hub.url).incr("starts") == count + 1
        hub.kill()


def test_kill_9_of_hub_and_guard_together_leaves_no_orphan(start_hub, tmp_path):
    hub = start_hub(tmp_path / "d")
    os.kill(hub.pid, signal.SIGSTOP)  # so that it starts no other server
    os.kill(hub.guard, signal.SIGKILL)
    hub.kill()
    if sys.platform.startswith("linux"):
        assert wait_until(lambda: not alive(hub.server), within=5)
    assert answers(start_hub(tmp_path / "d").url)  # elsewhere it is the next hub that sees to it
    assert not alive(hub.server)


def test_ctrl_c_reaches_neither_the_server_nor_its_guard(start_hub, tmp_path):
    hub = start_hub(tmp_path / "d")
    os.killpg(hub.pid, signal.SIGINT)
    client(hub.url).set("still", "there")
    assert os.getsid(hub.server) == os.getsid(hub.guard) == hub.guard
    assert alive(hub.server)
    assert alive(hub.guard)


def test_a_graceful_end_of_the_hub_ends_server_and_guard(start_hub, tmp_path):
    hub = start_hub(tmp_path / "d")
    hub.end()
    assert hub.process.returncode == 0
    assert not alive(hub.server)
    assert wait_until(lambda: not alive(hub.guard))


def test_a_second_hub_on_the_directory_is_told_who_has_it_and_what_to_do(start_hub, tmp_path):
    first = start_hub(tmp_path / "d")
    error = start_hub(tmp_path / "d").said["error"]
    assert str(tmp_path / "d") in error
    assert f"process {first.pid}" in error
    assert "in use" in error
    assert "--data-dir" in error
    assert answers(first.url)


async def test_the_directory_is_free_again_after_a_stop_and_after_a_failed_start(
    start_engine, tmp_path, monkeypatch
):
    def fails(_):
        raise EngineError("no server")

    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "find_server", fails)
        with pytest.raises(EngineError, match="no server"):
            await EmbeddedEngine(tmp_path / "d").start()
    engine, _ = await start_engine(tmp_path / "d")
    with pytest.raises(EngineError, match="in use"):
        await EmbeddedEngine(tmp_path / "d").start()
    await engine.stop()
    await start_engine(tmp_path / "d")


async def test_a_start_that_is_cancelled_leaves_nothing_behind(start_engine, tmp_path):
    starting = asyncio.create_task(EmbeddedEngine(tmp_path / "d").start())
    log = tmp_path / "d" / "engine.log"
    assert await until(log.exists)  # the guard has just been started
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await start_engine(tmp_path / "d")


async def test_an_orphaned_server_is_asked_to_shut_down_before_another_is_started(
    start_engine, tmp_path
):
    """As a killed hub with a killed guard leaves it where the kernel does not see to it."""
    socket = tmp_path / "o.sock"
    lock = FileLock(tmp_path / "engine.lock")
    assert lock.acquire()
    lock.write(f"{socket}\n")
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    orphan = subprocess.Popen(  # noqa: ASYNC220 - the very thing under test is a plain process
        [find_server(tmp_path).path, *options, "--appendonly", "yes", "--save", ""],
        pass_fds=(lock.descriptor,),
        stdout=subprocess.DEVNULL,
    )
    lock.release()
    assert await until(lambda: answers(f"unix://{socket}"))
    client(f"unix://{socket}").set("kept", "yes")

    _, url = await start_engine(tmp_path)
    assert orphan.wait(10) == 0
    assert client(url).get("kept") == "yes"


async def test_a_leftover_server_is_waited_for_and_no_second_one_started_meanwhile(
    start_engine, tmp_path
):
    (tmp_path / "d").mkdir()
    with _holding(tmp_path / "d" / "engine.lock") as holder:
        starting = asyncio.create_task(start_engine(tmp_path / "d"))
        done, _ = await asyncio.wait([starting], timeout=0.5)
        assert not done
        assert not (tmp_path / "d" / "engine.log").exists()
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        await starting


async def test_a_leftover_server_that_never_ends_is_a_plain_error(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "LEFTOVER_TIMEOUT", 0.2)
    (tmp_path / "d").mkdir()
    with _holding(tmp_path / "d" / "engine.lock") as holder:
        said = r"earlier hub still uses .*end that process.*--data-dir"
        with pytest.raises(EngineError, match=said):
            await EmbeddedEngine(tmp_path / "d").start()
        holder.kill()


def _holding(path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    return holder
