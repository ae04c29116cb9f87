"""`run` ends a program with agents when SIGTERM or Ctrl-C comes: contexts are left first."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_client import run
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.support.fake_hub import ThreadedHub, running_hub, silent
from tests.support.legacy_hub import LegacyHub

ENDS = [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
"""A shell shows 143 and 130."""

AGENT = """
async def main():
    async with client():
        say("here")
        try:
            await asyncio.sleep(600)
        finally:
            print("cleaned up")  # is flushed at the end

agent_client.run({})
"""


@pytest.fixture(name="hub")
def _hub() -> Iterator[ThreadedHub]:
    with running_hub() as hub:
        yield hub


async def seven() -> int:
    await asyncio.sleep(0)
    return 7


def test_it_returns_what_the_coroutine_function_or_the_coroutine_returns() -> None:
    assert run(seven) == 7
    assert run(seven()) == 7
    assert run(seven, debug=True) == 7


def test_it_raises_what_the_coroutine_raises() -> None:
    async def fail() -> None:
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        run(fail)


def test_a_cancellation_without_a_signal_is_raised_as_asyncio_run_raises_it() -> None:
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        run(cancel)


async def test_it_refuses_to_run_within_an_event_loop() -> None:
    main = seven()
    with pytest.raises(RuntimeError, match="running event loop"):
        run(main)
    main.close()


def test_it_restores_the_handlers_of_signals(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    def handlers():
        return [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]

    async def main():
        return handlers()

    before = handlers()
    within = agent_client.run(main)
    say(before == handlers(), set(before) & set(within))
    """
    with running(hub, program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert rest(process) == "True set()\n"


def test_a_client_that_was_not_closed_before_is_not_in_its_way(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    program = """
    asyncio.run(client(1, heartbeat_in_thread=True).start())
    """ + AGENT.format("main").replace("\n", "\n    ")
    with running(hub, program, tmp_path) as process:
        assert process.read_line() == "here\n"
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == -signal.SIGTERM
        assert rest(process) == "cleaned up\n"


def test_it_runs_in_any_thread() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run(seven)))
    thread.start()
    thread.join(END_LIMIT)
    assert results == [7]


@pytest.mark.parametrize("main", ["main", "main()"])
@pytest.mark.parametrize(("signum", "status"), ENDS)
def test_a_signal_cancels_and_the_agent_unregisters(
    hub: ThreadedHub, tmp_path: Path, signum: signal.Signals, status: int, main: str
) -> None:
    with running(hub, AGENT.format(main), tmp_path) as process:
        assert process.read_line() == "here\n"
        process.signal(signum)
        assert process.wait(END_LIMIT) == status
        assert hub.ops().count("unregister") == 1
        assert (rest(process), process.log()) == ("cleaned up\n", "")


@pytest.mark.parametrize(("signum", "status"), ENDS)
def test_what_was_started_without_a_context_unregisters_too(
    hub: ThreadedHub, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    program = """
    async def main():
        clients = [client(1), client(2, heartbeat_in_thread=True)]
        for each in clients:
            await each.start()
        say("here")
        await asyncio.sleep(600)

    agent_client.run(main)
    """
    with running(hub, program, tmp_path) as process:
        assert process.read_line() == "here\n"
        process.signal(signum)
        assert process.wait(END_LIMIT) == status
        assert hub.ops().count("unregister") == 2
        assert (rest(process), process.log()) == ("", "")


@pytest.mark.parametrize(("signum", "status"), ENDS)
def test_the_helper_for_programs_without_asyncio_leaves_too(
    tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    program = """
    helper = agent_client.AgentRegistration("a", "test", "localhost", 8000, [], sys.argv[1])
    helper.register()

    async def main():
        say(helper.agent_id)
        await asyncio.sleep(600)

    agent_client.run(main)
    """
    with LegacyHub() as hub, running(hub, program, tmp_path) as process:
        assert hub.agents == {process.read_line().strip()}
        process.signal(signum)
        assert process.wait(END_LIMIT) == status
        assert hub.agents == set()


@pytest.mark.parametrize(("signum", "status"), ENDS)
def test_a_second_signal_ends_it_at_once(
    hub: ThreadedHub, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    hub.on("unregister", silent)
    program = """
    agent_client.agent.LEAVE_TIMEOUT = 600.0

    async def main():
        async with client(request_timeout=600.0):
            say("here")
            await asyncio.sleep(600)

    agent_client.run(main)
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signum)
        hub.wait_for("unregister")
        process.signal(signum)
        assert process.wait(END_LIMIT) == -signum


@pytest.mark.parametrize(("signum", "status"), ENDS)
def test_a_program_that_catches_its_cancellation_ends_by_the_signal_all_the_same(
    hub: ThreadedHub, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    program = """
    async def main():
        try:
            async with client():
                say("here")
                await asyncio.sleep(600)
        except asyncio.CancelledError:
            return 7

    agent_client.run(main)
    say("not reached")
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signum)
        assert process.wait(END_LIMIT) == status
        assert (rest(process), process.log()) == ("", "")


def test_an_exception_on_the_way_out_is_shown(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    async def main():
        say("here")
        try:
            await asyncio.sleep(600)
        finally:
            raise LookupError("while cleaning up")

    agent_client.run(main)
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == 1
        assert "LookupError: while cleaning up" in process.log()


def test_a_signal_that_is_ignored_stays_ignored(hub: ThreadedHub, tmp_path: Path) -> None:
    """As under nohup, and in a background job of a script."""
    program = """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    """ + AGENT.format("main").replace("\n", "\n    ")
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGINT)
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == -signal.SIGTERM


def test_a_hub_that_does_not_answer_holds_up_the_end_for_a_second_only(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    hub.on("unregister", silent)
    with running(hub, AGENT.format("main"), tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == -signal.SIGTERM
        assert "could not unregister in time" in process.log()
