"""SIGTERM ends a program with agents as it ever did, but its agents unregister first."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_client.ending import END_LIMIT, rest, running
from tests.support.fake_hub import ThreadedHub, running_hub, silent
from tests.support.legacy_hub import LegacyHub

TERMINATED = -signal.SIGTERM


@pytest.fixture(name="hub")
def _hub() -> Iterator[ThreadedHub]:
    with running_hub() as hub:
        yield hub


LOOPS = """
def uvloop_run(main):
    import uvloop
    uvloop.run(main)
"""


@pytest.mark.parametrize("run", ["asyncio.run", "uvloop_run"])
def test_all_agents_of_the_program_unregister_and_it_ends_by_sigterm(
    hub: ThreadedHub, tmp_path: Path, run: str
) -> None:
    program = f"""
    async def main():
        async with client(0), client(1), client(2):
            say("here")
            try:
                await asyncio.sleep(600)
            finally:
                say("the user's task was cancelled")

    {run}(main())
    """
    with running(hub, LOOPS + textwrap.dedent(program), tmp_path) as process:
        assert process.read_line() == "here\n"
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.ops().count("unregister") == 3
        assert (rest(process), process.log()) == ("", "")


def test_the_helper_for_programs_without_asyncio_leaves_too(tmp_path: Path) -> None:
    program = """
    def registration(number, **more):
        return agent_client.AgentRegistration(
            f"a-{number}", "test", "localhost", 8000 + number, [], sys.argv[1], **more
        )

    agents = [registration(0), registration(1), registration(2, leave_on_sigterm=False)]
    for agent in agents:
        agent.register()
        agent.start_heartbeat()
    say(agents[2].agent_id)
    time.sleep(600)
    """
    with LegacyHub() as hub, running(hub, program, tmp_path) as process:
        kept = process.read_line().strip()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.agents == {kept}


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_call_under_way_raises_nothing_on_the_way_out(
    hub: ThreadedHub, tmp_path: Path, in_thread: bool
) -> None:
    hub.on("update", silent)
    program = f"""
    async def main():
        async with client(0, heartbeat_in_thread={in_thread}) as agent:
            await agent.update(version="2")

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        hub.wait_for("update")
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert (hub.ops(), process.log()) == (["register", "update", "unregister"], "")


def test_a_program_that_is_still_registering_ends_at_once(hub: ThreadedHub, tmp_path: Path) -> None:
    hub.on("register", silent)
    program = """
    async def main():
        async with client():
            say("not reached")

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        hub.wait_for("register")
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert (rest(process), process.log()) == ("", "")


def test_agents_on_loops_in_other_threads_unregister_too(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    there = threading.Event()

    async def other():
        async with client(1):
            there.set()
            await asyncio.sleep(600)

    async def main():
        threading.Thread(target=asyncio.run, args=(other(),), daemon=True).start()
        async with client(0):
            await asyncio.to_thread(there.wait)
            say("here")
            await asyncio.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.read_line() == "here\n"
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.ops().count("unregister") == 2


def test_a_hub_that_does_not_answer_holds_up_the_end_for_a_second_only(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    hub.on("unregister", silent)
    program = """
    async def main():
        async with client():
            say("here")
            await asyncio.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.ops().count("unregister") == 1


def test_a_blocked_event_loop_does_not_keep_the_program_alive(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    program = """
    async def main():
        async with client():
            say("here")
            time.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED


def test_an_agent_with_its_session_in_a_thread_leaves_though_its_loop_is_blocked(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    program = """
    async def main():
        async with client(heartbeat_in_thread=True):
            say("here")
            time.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.ops().count("unregister") == 1


def test_a_second_signal_ends_it_at_once(hub: ThreadedHub, tmp_path: Path) -> None:
    hub.on("unregister", silent)
    program = """
    agent_client.leaving.LEAVE_TIMEOUT = agent_client.agent.LEAVE_TIMEOUT = 600.0

    async def main():
        async with client(request_timeout=600.0):
            say("here")
            await asyncio.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        hub.wait_for("unregister")
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED


def test_a_client_may_be_left_out(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    async def main():
        async with client(leave_on_sigterm=False):
            say(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
            await asyncio.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.read_line() == "True\n"
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert "unregister" not in hub.ops()


def test_who_handles_sigterm_already_goes_on_to_do_so(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    async def main():
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        before = signal.getsignal(signal.SIGTERM)
        async with client():
            say(signal.getsignal(signal.SIGTERM) is before)
            await ended.wait()
        say("ended by itself", signal.getsignal(signal.SIGTERM) is before)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.read_line() == "True\n"
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == 0
        assert rest(process) == "ended by itself True\n"


@pytest.mark.parametrize("installed", ["signal.signal({})", "loop.add_signal_handler({})"])
def test_who_handles_sigterm_later_wins_and_stays(
    hub: ThreadedHub, tmp_path: Path, installed: str
) -> None:
    install = installed.format("signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(ended.set)")
    program = f"""
    async def main():
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with client():
            {install}
            after = signal.getsignal(signal.SIGTERM)
            say("here")
            await ended.wait()
        say("ended by itself", signal.getsignal(signal.SIGTERM) is after)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        process.read_line()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == 0
        assert rest(process) == "ended by itself True\n"


def test_the_handler_goes_with_the_last_client(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    def default():
        return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    async def main():
        first, second = client(0), client(1)
        await first.start()
        await second.start()
        say(default())
        await first.close()
        say(default())
        await second.close()
        say(default())

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert rest(process) == "False\nFalse\nTrue\n"


def test_a_client_that_could_not_register_leaves_no_handler(
    hub: ThreadedHub, tmp_path: Path
) -> None:
    hub.refuse("register", "bad_request")
    program = """
    async def main():
        try:
            await client().start()
        except agent_client.BadRequest:
            say(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert rest(process) == "True\n"


def test_a_client_in_another_thread_installs_nothing(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    async def main():
        async with client():
            say(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    """
    with running(hub, program, tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert (rest(process), process.log()) == ("True\n", "")


def test_a_forked_child_unregisters_nobody_of_its_parent(hub: ThreadedHub, tmp_path: Path) -> None:
    program = """
    async def main():
        async with client():
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
                os.write(writer, str(default).encode())
                time.sleep(600)
            say(child, os.read(reader, 100).decode())
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            await asyncio.sleep(600)

    asyncio.run(main())
    """
    with running(hub, program, tmp_path) as process:
        child, default = process.read_line().split()
        assert default == "True"
        os.kill(int(child), signal.SIGTERM)
        assert process.read_line() == f"{TERMINATED}\n"
        assert "unregister" not in hub.ops()
        process.signal(signal.SIGTERM)
        assert process.wait(END_LIMIT) == TERMINATED
        assert hub.ops().count("unregister") == 1
