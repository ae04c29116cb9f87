"""Hub: what `HubClient` does, from threads, scripts, notebooks and forked processes."""

from __future__ import annotations

import asyncio
import inspect
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from agent_client import (
    BadRequest,
    BadURL,
    BlockingWatch,
    CannotConnect,
    ConnectionLost,
    Event,
    Hub,
    HubClient,
    NoMatch,
    NotFound,
    Reading,
    Resync,
    Snapshot,
    Timeout,
    Watch,
)
from tests.agent_client.ending import END_LIMIT, rest, running
from tests.support.fake_hub import ThreadedHub, running_hub, silent
from tests.support.records import agent_id, wire_record
from tests.support.waiting import wait_until


@pytest.fixture(name="server")
def _server() -> Iterator[ThreadedHub]:
    with running_hub() as server:
        yield server


@pytest.fixture
def hub(server: ThreadedHub) -> Iterator[Hub]:
    with Hub(server.url) as hub:
        yield hub


def in_thread(function: Callable[[], Any]) -> Any:
    """Start a thread, and return how to get its result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future


# --- requests ------------------------------------------------------------------------------------


def public(of: type) -> dict[str, Any]:
    methods = inspect.getmembers(of, inspect.isfunction)
    return {name: method for name, method in methods if not name.startswith("_")}


def test_it_has_the_methods_and_arguments_of_hub_client() -> None:
    ours, theirs = public(Hub), public(HubClient)
    assert ours.keys() == theirs.keys()
    for name in ours:
        mine, other = inspect.signature(ours[name]), inspect.signature(theirs[name])
        assert mine.parameters == other.parameters, name
        if name != "watch":
            assert mine.return_annotation == other.return_annotation, name
    assert inspect.signature(Hub) == inspect.signature(HubClient)
    properties = {name for name in dir(Watch) if isinstance(getattr(Watch, name), property)}
    assert properties <= set(dir(BlockingWatch))


def test_it_asks_and_answers(server: ThreadedHub, hub: Hub) -> None:
    server.add(wire_record(1), wire_record(2))
    assert [agent.name for agent in hub.find(type="cost", limit=2)] == ["a1", "a2"]
    assert hub.get(agent_id(2)).metadata == {}
    assert hub.pick(strategy="sticky", key="k").id == agent_id(1)
    assert hub.hubs().answered_by == "hub-1"
    assert hub.acknowledge_loss().agents == 0
    assert hub.ping() > 0
    hub.remove(agent_id(1))
    assert len(server.peers) == 1
    assert server.requests("find")[0]["filter"] == {"type": "cost"}
    assert server.requests("pick")[0]["key"] == "k"


def test_its_errors_are_those_of_hub_client(server: ThreadedHub, hub: Hub) -> None:
    with pytest.raises(NotFound):
        hub.get(agent_id(1))
    with pytest.raises(NoMatch):
        hub.pick()
    with pytest.raises(BadRequest) as refused:
        hub.find(metadata={"a": {1}})
    assert refused.value.field == "filter.metadata.a"
    with pytest.raises(BadURL):
        Hub("ftp://hub")
    server.on("get", silent)
    with Hub(server.url, request_timeout=0.1) as impatient, pytest.raises(Timeout):
        impatient.get(agent_id(1))
    with Hub("http://127.0.0.1:1") as nowhere, pytest.raises(CannotConnect):
        nowhere.ping()


def test_it_connects_at_the_first_call_and_again_when_needed(server: ThreadedHub, hub: Hub) -> None:
    assert not hub.connected
    assert not server.handshakes
    assert repr(hub) == f"<Hub ws://127.0.0.1:{server.port}/ws connected=False>"
    hub.ping()
    assert hub.connected
    server.close_connections(1001)
    hub.ping()
    assert len(server.peers) == 2


def test_any_number_of_threads_ask_at_once_over_one_connection(
    server: ThreadedHub, hub: Hub
) -> None:
    server.add(*(wire_record(number) for number in range(1, 21)))
    ready = threading.Barrier(20)

    def ask(number: int) -> list[str]:
        ready.wait(END_LIMIT)
        return [hub.get(agent_id(number)).name for _ in range(10)]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(1, 21)))
    assert answers == [[f"a{number}"] * 10 for number in range(1, 21)]
    assert len(server.peers) == 1


def test_threads_go_on_at_another_hub_when_theirs_goes_away(server: ThreadedHub) -> None:
    with running_hub() as other, Hub([server.url, other.url], shuffle=False) as hub:
        server.add(wire_record(1))
        other.add(wire_record(1))
        gone = threading.Event()

        def ask() -> int:
            asked = 0
            while not (gone.is_set() and len(other.requests("get")) > 20):
                assert hub.get(agent_id(1)).name == "a1"
                asked += 1
            return asked

        asking = [in_thread(ask) for _ in range(4)]
        server.wait_for("get", 20)
        server.handshake = (502, {}, {})
        server.close_connections(1001)
        gone.set()
        assert min(each.result(END_LIMIT) for each in asking) > 0
        assert len(other.peers) == 1


def test_one_slow_answer_holds_up_no_other_thread_s_call(server: ThreadedHub) -> None:
    server.on("pick", silent)
    with Hub(server.url) as hub:
        picking = in_thread(hub.pick)
        server.wait_for("pick")
        assert hub.ping() > 0
        assert not picking.done()
        hub.close()
        with pytest.raises(ConnectionLost, match="closed"):
            picking.result(END_LIMIT)
        with pytest.raises(ConnectionLost, match="closed"):
            hub.ping()
        hub.close()


async def test_it_works_where_a_loop_runs(server: ThreadedHub, hub: Hub) -> None:
    """As in a notebook, whose cells run on its loop."""
    server.add(wire_record(1))
    assert hub.find()[0].name == "a1"
    with hub.watch() as watch:
        assert isinstance(next(watch), Snapshot)
    assert (await asyncio.to_thread(hub.get, agent_id(1))).name == "a1"


# --- watches -------------------------------------------------------------------------------------


def test_a_watch_is_an_iterator_that_blocks(server: ThreadedHub, hub: Hub) -> None:
    server.add(wire_record(1))
    with hub.watch(type="cost", readings=True) as watch:
        first = next(watch)
        assert isinstance(first, Snapshot)
        assert [agent.name for agent in first.agents] == ["a1"]
        assert (watch.log, watch.revision) == ("log-a", 100)
        coming = in_thread(lambda: next(watch))
        server.emit("updated", wire_record(1, load=0.5))
        event = coming.result(END_LIMIT)
        assert isinstance(event, Event)
        assert event.agent.load == 0.5
        server.read({agent_id(1): 0.7})
        assert next(watch) == Reading(loads={agent_id(1): 0.7})
        server.begin_log("log-b")
        assert isinstance(next(watch), Resync)
    assert list(watch) == []
    assert server.requests("watch")[0]["filter"] == {"type": "cost"}


@pytest.mark.parametrize("how", ["watch", "hub"])
def test_a_watch_ends_when_another_thread_closes_it_or_its_hub(
    server: ThreadedHub, how: str
) -> None:
    hub = Hub(server.url)
    watch = hub.watch()
    seen = in_thread(lambda: list(watch))
    wait_until(lambda: watch.revision == 100)
    assert not seen.done()
    (watch if how == "watch" else hub).close()
    [snapshot] = seen.result(END_LIMIT)
    assert isinstance(snapshot, Snapshot)
    hub.close()


def test_a_watch_that_is_refused_raises_in_the_thread_that_waits(
    server: ThreadedHub, hub: Hub
) -> None:
    with pytest.raises(BadRequest):
        hub.watch(position="p", since=3, log="log-a")
    server.refuse("watch", "rate_limited")
    with pytest.raises(Exception, match="refused by the test"):
        next(hub.watch())
    with Hub("http://127.0.0.1:1") as nowhere, pytest.raises(CannotConnect):
        next(nowhere.watch())


def test_several_threads_share_a_watch_and_get_each_item_once(
    server: ThreadedHub, hub: Hub
) -> None:
    got: list[int] = []
    with hub.watch() as watch:
        assert isinstance(next(watch), Snapshot)

        def take() -> None:
            for item in watch:
                assert isinstance(item, Event)
                got.append(item.revision)

        takers = [in_thread(take) for _ in range(4)]
        for number in range(1, 41):
            server.emit("updated", wire_record(number))
        wait_until(lambda: len(got) >= 40)
    for taker in takers:
        taker.result(END_LIMIT)
    assert sorted(got) == list(range(101, 141))


def test_a_callback_is_told_of_a_lost_connection_and_may_not_ask(
    server: ThreadedHub, hub: Hub
) -> None:
    told: list[BaseException] = []

    def lost(error: BaseException) -> None:
        told.append(error)
        try:
            hub.ping()
        except RuntimeError as refused:
            told.append(refused)

    with hub.watch(on_disconnected=lost) as watch:
        next(watch)
        following = in_thread(lambda: next(watch))
        server.close_connections(1001)
        wait_until(lambda: len(told) >= 2)
        assert isinstance(told[0], ConnectionLost)
        assert "own thread" in str(told[1])
        server.wait_for("watch", 2)
        server.emit("updated", wire_record(1))
        assert following.result(END_LIMIT).revision == 101


# --- Ctrl-C, exit, fork --------------------------------------------------------------------------


def test_after_ctrl_c_a_watch_goes_on_without_a_gap(
    server: ThreadedHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interruption comes at any moment between an item's arrival and its handing over."""
    moments = iter([0.0, 0.0005, 0.001, 0.002, 0.004, 0.008] * 10)
    numbers = iter(range(1, 100))

    def interrupted(futures: Any, seconds: float | None) -> Any:
        server.emit("updated", wire_record(next(numbers)))
        wait(futures, next(moments))
        raise KeyboardInterrupt

    seen: list[int] = []
    with hub.watch() as watch:
        assert isinstance(next(watch), Snapshot)
        monkeypatch.setattr("agent_client.blocking_watch.wait", interrupted)
        for _ in range(40):
            try:
                seen.append(next(watch).revision)
            except KeyboardInterrupt:
                pass
        monkeypatch.undo()
        while len(seen) < server.revision - 100:
            seen.append(next(watch).revision)
    assert len(seen) >= 20
    assert seen == list(range(101, server.revision + 1))


HUB = """
from agent_client import Hub, HubClient
from agent_client.loop_thread import SHARED

hub = Hub(sys.argv[1])
"""


def test_ctrl_c_ends_a_call_at_once_and_leaves_none_behind(
    server: ThreadedHub, tmp_path: Path
) -> None:
    server.on("pick", silent)
    program = """
    async def running():
        return [str(task.get_coro()) for task in asyncio.all_tasks()]

    for call in (hub.pick, lambda: list(hub.watch())):
        try:
            say("asking")
            call()
        except KeyboardInterrupt:
            say("interrupted")
    say(hub.ping() > 0)
    names = SHARED.submit(running()).result()
    say([name for name in names if "pick" in name or "_next" in name])
    """
    with running(server, HUB + textwrap.dedent(program), tmp_path) as process:
        for op in ("pick", "watch"):
            assert process.read_line() == "asking\n"
            server.wait_for(op)
            process.signal(signal.SIGINT)
            assert process.read_line() == "interrupted\n"
        assert process.wait(END_LIMIT) == 0
        assert (rest(process), process.log()) == ("True\n[]\n", "")


@pytest.mark.parametrize("daemon", [True, False])
def test_it_closes_and_watches_end_when_the_program_does(
    server: ThreadedHub, tmp_path: Path, daemon: bool
) -> None:
    program = f"""
    first = threading.Event()

    def follow():
        for item in hub.watch():
            first.set()
        say("ended")

    threading.Thread(target=follow, daemon={daemon}).start()
    hub.ping()
    first.wait()
    """
    with running(server, HUB + textwrap.dedent(program), tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert process.log() == ""
        assert daemon or rest(process) == "ended\n"
    wait_until(lambda: all(peer.websocket.close_code is not None for peer in server.peers))
    asked = next(peer for peer in server.peers if peer.ops() == ["ping"])
    assert asked.websocket.close_code == 1000


FORK = """
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: a fork beside threads

def child(function):
    process = os.fork()
    if process:
        assert os.waitpid(process, 0)[1] == 0
        return
    try:
        function()
    except BaseException as error:
        say(type(error).__name__, error)
        os._exit(1)
    os._exit(0)
"""


def test_a_hub_made_before_a_fork_connects_in_each_worker(
    server: ThreadedHub, tmp_path: Path
) -> None:
    """As under gunicorn with `preload_app`."""
    program = """
    for _ in range(3):
        child(lambda: say(len(hub.find())))
    say(hub.connected)
    """
    server.add(wire_record(1))
    with running(server, HUB + FORK + textwrap.dedent(program), tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        assert (rest(process), process.log()) == ("1\n1\n1\nFalse\n", "")
    assert [peer.ops() for peer in server.peers] == [["find"]] * 3


def test_a_hub_used_before_a_fork_connects_again_in_the_child_and_stays_in_the_parent(
    server: ThreadedHub, tmp_path: Path
) -> None:
    program = """
    hub.ping()
    watch = hub.watch()
    next(watch)
    client = HubClient(sys.argv[1])

    def other():
        say(hub.connected, len(hub.find()))
        try:
            next(watch)
        except RuntimeError as error:
            say(error)
        watch.close()
        hub.close()

    child(other)
    hub.ping()
    say(hub.connected)
    """
    with running(server, HUB + FORK + textwrap.dedent(program), tmp_path) as process:
        assert process.wait(END_LIMIT) == 0
        said = rest(process).splitlines()
        assert (said[0], said[2:], process.log()) == ("False 0", ["True"], "")
        assert "belongs to process" in said[1]
        assert "begin another one here" in said[1]
    assert [peer.ops() for peer in server.peers] == [["ping", "ping"], ["watch"], ["find"]]


# --- HubClient on the wrong loop -----------------------------------------------------------------


def test_hub_client_says_what_is_wrong_when_it_is_used_over_two_runs(server: ThreadedHub) -> None:
    client = HubClient(server.url)
    watch = client.watch()

    async def first() -> None:
        await client.ping()
        await anext(watch)

    async def again(call: Callable[[], Any]) -> None:
        await call()

    asyncio.run(first())
    calls: list[Callable[[], Any]] = [client.ping, client.find, lambda: anext(watch)]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"loop that is closed.* asyncio\.run.*Hub"):
            asyncio.run(again(call))
    asyncio.run(client.close())  # nothing is left to close


async def test_hub_client_says_what_is_wrong_in_another_thread_s_loop(server: ThreadedHub) -> None:
    def elsewhere() -> None:
        asyncio.run(client.ping())  # type: ignore[arg-type]

    async with HubClient(server.url) as client:
        await client.ping()
        with pytest.raises(RuntimeError, match=r"another event loop.*Hub"):
            await asyncio.to_thread(elsewhere)
        await client.ping()
