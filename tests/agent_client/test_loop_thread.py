"""The thread with an event loop that programs share whose own loop blocks, or who have none."""

import asyncio
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from agent_client.loop_thread import LoopThread


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("test-loop")
    yield thread
    thread.stop()


async def name() -> str:
    return threading.current_thread().name


def test_a_coroutine_runs_in_the_thread_and_its_result_comes_back(thread: LoopThread) -> None:
    assert thread.submit(name()).result(10) == "test-loop"


def test_all_coroutines_share_one_loop(thread: LoopThread) -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert thread.submit(loop()).result(10) is thread.submit(loop()).result(10)


def test_no_thread_runs_before_the_first_coroutine() -> None:
    LoopThread("idle-loop")
    assert "idle-loop" not in [each.name for each in threading.enumerate()]


async def fail() -> None:
    raise ValueError("as it was")


def test_an_exception_comes_back(thread: LoopThread) -> None:
    with pytest.raises(ValueError, match="as it was"):
        thread.submit(fail()).result(10)


def test_cancelling_the_future_cancels_the_task(thread: LoopThread) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = thread.submit(wait())
    assert started.wait(10)
    future.cancel()
    assert cancelled.wait(10)


def test_stopping_cancels_what_runs_and_the_next_coroutine_gets_a_new_thread(
    thread: LoopThread,
) -> None:
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    future = thread.submit(wait())
    assert started.wait(10)
    thread.stop()
    with pytest.raises(CancelledError):
        future.result(10)
    assert thread.submit(name()).result(10) == "test-loop"


def test_a_coroutine_knows_that_it_runs_in_the_thread(thread: LoopThread) -> None:
    async def current() -> bool:
        return thread.current

    assert thread.submit(current()).result(10)
    assert not thread.current


async def test_a_loop_waits_for_a_coroutine_in_the_thread(thread: LoopThread) -> None:
    assert await thread.run(name()) == "test-loop"
    with pytest.raises(ValueError, match="as it was"):
        await thread.run(fail())


async def test_a_cancelled_wait_ends_when_the_coroutine_in_the_thread_has_ended(
    thread: LoopThread,
) -> None:
    started, steps = threading.Event(), list[str]()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            steps.append("cleaned up there")

    waiting = asyncio.create_task(thread.run(work()))
    await asyncio.to_thread(started.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert steps == ["cleaned up there"]


async def test_a_wait_that_is_cancelled_before_it_begins_there_ends_too(
    thread: LoopThread,
) -> None:
    waiting = asyncio.create_task(thread.run(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_ends_when_the_thread_is_stopped(thread: LoopThread) -> None:
    waiting = asyncio.create_task(thread.run(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await asyncio.to_thread(thread.stop)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_has_not_begun_when_the_thread_is_stopped_is_closed(thread: LoopThread) -> None:
    blocked, release = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        release.wait(10)

    thread.submit(block())
    await asyncio.to_thread(blocked.wait)
    work = asyncio.Event().wait()
    waiting = asyncio.create_task(thread.run(work))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(asyncio.to_thread(thread.stop))
    await asyncio.sleep(0.1)  # both now wait for the loop, in this order
    release.set()
    await stopping
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_gets_a_thread_of_its_own_and_the_parents_goes_on() -> None:
    program = """
import os
from agent_client.loop_thread import SHARED

async def pid():
    return os.getpid()

assert SHARED.submit(pid()).result(10) == os.getpid()
child = os.fork()
if not child:
    assert SHARED.submit(pid()).result(10) == os.getpid()
    raise SystemExit
assert os.waitpid(child, 0)[1] == 0
assert SHARED.submit(pid()).result(10) == os.getpid()
"""
    _run(program)


def test_the_process_ends_while_tasks_run_and_they_are_cancelled() -> None:
    program = """
import asyncio, threading
from agent_client.loop_thread import SHARED

started = threading.Event()

async def wait():
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)

SHARED.submit(wait())
assert started.wait(10)
"""
    assert _run(program) == "cancelled\n"


def _run(program: str) -> str:
    done = subprocess.run(
        # From 3.12 on Python warns of every fork beside a thread: that is what is tested here.
        [
            *(sys.executable, "-W", "error::RuntimeWarning"),
            *("-W", "ignore:This process:DeprecationWarning", "-c", program),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
