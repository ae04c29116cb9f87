"""`serve --workers`: several hub processes behind one port, with the embedded store and without."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_starting import Failing, assert_sentence, fails
from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.programs import Homeport, finish
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import ClosedError, Wire

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="workers share a port on Linux only"
)

TRIES = 60
"""Connections after which a worker that got none of them counts as unreachable."""


def processes(fragment: str) -> dict[int, str]:
    """The living processes whose command line holds `fragment`, by their ids."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if fragment in command:
                    found[int(entry.name)] = command.strip()
    return found


class Crew:
    """A hub with workers: their processes, and connections to a chosen one."""

    def __init__(self, hub: Hub, hub_id: str, namespace: str | None = None) -> None:
        self.hub = hub
        self.hub_id = hub_id
        self.place = Place(hub, namespace)

    def workers(self) -> dict[str, int]:
        """Process ids by hub id."""
        return {
            command.rpartition(" ")[2]: pid
            for pid, command in processes(f"worker.py {self.hub_id}-").items()
        }

    def connect(self, worker: str) -> Wire:
        """A connection that the kernel has given to this worker."""
        for _ in range(TRIES):
            wire = self.place.connect()
            if wire.ask("hubs")["answered_by"] == worker:
                return wire
            wire.drop()
        raise AssertionError(f"{TRIES} connections, and none got to {worker}")

    def reach(self, worker: str) -> bool:
        with contextlib.suppress(ClosedError, OSError, AssertionError):
            self.connect(worker).drop()
            return True
        return False


@pytest.fixture(scope="module")
def shared_crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Three workers for all tests that leave them as they are, over a store in `store`."""
    directory, hub_id = tmp_path_factory.mktemp("shared"), f"shared-{os.getpid()}"
    options = ("--workers", "3", "--hub-id", hub_id, "--data-dir", str(directory / "store"))
    with running_hub(directory, *options) as hub:
        crew = Crew(hub, hub_id, new_namespace())
        yield crew
        crew.place.end()


@pytest.fixture(scope="module", autouse=True)
def unstartable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failing]:
    """Workers without a store, begun before all tests: they take their time to fail."""
    directory, hub_id = tmp_path_factory.mktemp("unstartable"), f"failing-{os.getpid()}"
    store = ("--redis", "redis://:s3cret@127.0.0.1:1")
    failing = Failing(directory, "--port", "0", "--workers", "2", "--hub-id", hub_id, *store)
    yield failing
    failing.ended()


@pytest.fixture
def start_crew(start_hub: Any, tmp_path: Path) -> Iterator[Any]:
    """Starts a hub with workers; its directory holds the embedded store unless options say else."""
    crews: list[Crew] = []

    def start(*options: str) -> Crew:
        hub_id = f"crew-{os.getpid()}-{tmp_path.name[-20:]}-{len(crews)}".replace("_", "-")
        store = () if "--redis" in options else ("--data-dir", str(tmp_path / "store"))
        hub = start_hub("--workers", "2", "--hub-id", hub_id, *store, *options)
        crews.append(Crew(hub, hub_id))
        return crews[-1]

    yield start
    for crew in crews:
        crew.place.end()


def test_every_worker_is_reached_through_the_one_port(shared_crew: Crew) -> None:
    crew = shared_crew
    names = [f"{crew.hub_id}-{number}" for number in (1, 2, 3)]
    for name in names:
        crew.connect(name)
    wire = crew.place.connect()
    wait_until(lambda: [hub["hub_id"] for hub in wire.ask("hubs")["hubs"]] == names)
    assert {hub["url"] for hub in wire.ask("hubs")["hubs"]} == {crew.hub.url}
    assert sorted(crew.workers()) == names


def test_one_line_is_printed_and_each_line_of_the_log_tells_whose_it_is(start_crew: Any) -> None:
    crew = start_crew("--log-format", "json")
    assert crew.hub.line == f"Homeport is listening on {crew.hub.url}\n"
    crew.hub.signal(signal.SIGTERM)
    assert crew.hub.wait(LIMIT) == 0
    assert crew.hub.process.stdout.read() == b""
    lines = [json.loads(line) for line in crew.hub.log().splitlines()]
    started = {line.get("hub") for line in lines if line["event"] == "listening"}
    assert started == {f"{crew.hub_id}-1", f"{crew.hub_id}-2"}
    assert all("hub" in line for line in lines if line["logger"] in ("hub.store", "hub.directory"))


def test_what_one_worker_registers_another_finds_and_watches(shared_crew: Crew) -> None:
    crew = shared_crew
    one, two = crew.connect(f"{crew.hub_id}-1"), crew.connect(f"{crew.hub_id}-2")
    watcher = crew.connect(f"{crew.hub_id}-2")
    watcher.watch()
    watcher.snapshot()
    agent_id = one.register("here")["agent_id"]
    assert watcher.event("registered")["agent"]["id"] == agent_id
    assert [agent["id"] for agent in two.ask("find")["agents"]] == [agent_id]
    assert two.record(agent_id)["hub"] == f"{crew.hub_id}-1"
    assert two.ask("pick")["agent"]["id"] == agent_id
    one.ask("update", version="2")
    assert watcher.event("updated")["agent"]["version"] == "2"


def test_a_killed_worker_is_started_again_under_its_name(start_crew: Any, tmp_path: Path) -> None:
    crew = start_crew()
    store = processes(str(tmp_path / "store"))
    name = f"{crew.hub_id}-1"
    wire = crew.connect(name)
    agent = wire.register("here")
    before = crew.workers()
    for _ in range(2):
        os.kill(crew.workers()[name], signal.SIGKILL)
        wire.closing()
        wait_until(lambda: crew.reach(name), 30)
        wire = crew.connect(name)
        answer = wire.ask(
            "resume", agent_id=agent["agent_id"], session_token=agent["session_token"]
        )
        assert answer["op"] == "registered", answer
    after = crew.workers()
    assert after.keys() == before.keys()
    assert after[name] != before[name]
    assert after[f"{crew.hub_id}-2"] == before[f"{crew.hub_id}-2"]
    assert crew.hub.log().count("worker started again") == 2
    assert processes(str(tmp_path / "store")) == store, "the engine is not a worker's"


def test_one_worker_alone_is_stopped_gracefully_and_comes_back(start_crew: Any) -> None:
    crew = start_crew()
    one, two = (crew.connect(f"{crew.hub_id}-{number}") for number in (1, 2))
    agent_id = one.register("handed over")["agent_id"]
    wait_until(lambda: two.ask("find")["count"])  # a hub sees another hub's changes a little later
    before = crew.workers()[f"{crew.hub_id}-1"]
    os.kill(before, signal.SIGTERM)
    assert one.closing()[0] == 1001
    wait_until(lambda: two.record(agent_id)["health"]["reason"] == "draining")
    wait_until(lambda: crew.reach(f"{crew.hub_id}-1"), 30)
    assert crew.workers()[f"{crew.hub_id}-1"] != before
    two.ping()
    assert "worker handed over and ended" in crew.hub.log()
    assert "worker ended by itself" not in crew.hub.log()


def test_the_embedded_store_comes_back_for_all_workers_when_it_was_killed(
    start_crew: Any, tmp_path: Path
) -> None:
    crew = start_crew()
    one, two = (crew.connect(f"{crew.hub_id}-{number}") for number in (1, 2))
    agent_id = one.register("a")["agent_id"]
    wait_until(lambda: two.ask("find")["count"])
    workers = crew.workers()
    (server,) = processes(f"unixsocket:{tmp_path / 'store'}")
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: one.ask("heartbeat", status="degraded")["durable"], 30)
    wait_until(lambda: two.record(agent_id)["status"] == "degraded")
    assert crew.workers() == workers


def test_while_a_worker_is_away_the_others_get_all_connections(start_crew: Any) -> None:
    crew = start_crew()
    away = crew.workers()[f"{crew.hub_id}-1"]
    os.kill(away, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{away}").exists())
    for _ in range(30):
        assert crew.place.get("/health").status_code == 200
        crew.place.http.close()  # the next request is a new connection


def test_a_worker_that_keeps_ending_is_started_more_and_more_slowly(start_crew: Any) -> None:
    crew = start_crew()
    name = f"{crew.hub_id}-2"
    begun = time.monotonic()
    for count in range(4):
        os.kill(crew.workers()[name], signal.SIGKILL)
        wait_until(lambda n=count: crew.hub.log().count("worker started again") > n, 30)
    assert time.monotonic() - begun > 0.2 + 0.5 + 1.0
    assert crew.place.connect().ask("ping")["op"] == "pong"


@pytest.mark.parametrize("embedded", [True, False])
def test_when_the_first_process_is_killed_nothing_is_left(
    start_crew: Any, start_server: Any, tmp_path: Path, embedded: bool
) -> None:
    options = () if embedded else ("--redis", start_server().url)
    crew = start_crew(*options)
    fragments = [f"worker.py {crew.hub_id}-", *([str(tmp_path / "store")] if embedded else [])]
    # A worker that is stopped cannot obey, and is killed all the same.
    os.kill(crew.workers()[f"{crew.hub_id}-1"], signal.SIGSTOP)
    assert all(processes(fragment) for fragment in fragments)
    crew.hub.kill()
    for fragment in fragments:
        wait_until(lambda text=fragment: not processes(text))
    again = start_crew("--port", str(crew.hub.port), *options)
    assert again.place.get("/ready").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_gracefully_with_status_0(
    start_crew: Any, tmp_path: Path, number: signal.Signals
) -> None:
    crew = start_crew()
    wires = [crew.connect(f"{crew.hub_id}-{worker}") for worker in (1, 2)]
    agents = [wire.register(f"a{at}")["agent_id"] for at, wire in enumerate(wires)]
    crew.hub.signal(number)
    for wire in wires:
        code, reason = wire.closing()
        assert code == 1001
        assert re.search(r"retry in [0-9.]+ s", reason)
    assert crew.hub.wait(LIMIT) == 0
    assert not processes(f"worker.py {crew.hub_id}-")
    assert not processes(str(tmp_path / "store"))
    again = start_crew()
    assert {again.place.record(each)["health"]["reason"] for each in agents} == {"draining"}


def test_a_second_signal_ends_all_of_them_at_once(start_crew: Any, tmp_path: Path) -> None:
    crew = start_crew()
    for pid in crew.workers().values():
        os.kill(pid, signal.SIGSTOP)  # so that the graceful stop takes its time
    crew.hub.signal(signal.SIGTERM)
    wait_until(lambda: "signal received" in crew.hub.log())
    crew.hub.signal(signal.SIGTERM)
    assert crew.hub.wait(2) == -signal.SIGTERM
    wait_until(lambda: not processes(f"worker.py {crew.hub_id}-"))
    wait_until(lambda: not processes(str(tmp_path / "store")))


def test_a_port_that_workers_share_is_taken_for_everybody_else(
    shared_crew: Crew, tmp_path: Path
) -> None:
    crew = shared_crew
    for count in ("1", "2"):
        status, said = fails(
            tmp_path / f"second-{count}",
            *("--port", str(crew.hub.port), "--workers", count),
            *("--data-dir", str(tmp_path / "other")),
        )
        assert status == 1
        assert_sentence(said)
        assert said.endswith(f"cannot listen on 127.0.0.1:{crew.hub.port}: address already in use.")
    assert len(crew.place.connect().ask("hubs")["hubs"]) <= 3


def test_a_port_that_one_hub_has_is_not_shared_with_workers(start_hub: Any, tmp_path: Path) -> None:
    hub = start_hub("--redis", "memory://")
    store = str(tmp_path / "store")
    status, said = fails(
        tmp_path / "second", "--port", str(hub.port), "--workers", "2", "--data-dir", store
    )
    assert (status, "already in use" in said) == (1, True)
    assert not Path(store).exists(), "the port comes first"


def test_a_data_directory_in_use_is_the_same_plain_sentence(
    shared_crew: Crew, tmp_path: Path
) -> None:
    crew = shared_crew
    store = str(crew.hub.directory / "store")
    status, said = fails(tmp_path / "h", "--port", "0", "--workers", "2", "--data-dir", store)
    assert status == 1
    assert_sentence(said)
    assert "is in use by another hub" in said
    assert crew.place.get("/ready").status_code == 200


def test_workers_that_cannot_start_end_with_their_reason_and_leave_nothing(
    unstartable: Failing,
) -> None:
    status, said = unstartable.ended()
    assert status == 1
    assert_sentence(said)
    assert "did not answer within 10 seconds" in said
    assert "s3cret" not in said
    assert not processes(f"worker.py failing-{os.getpid()}-")


def test_memory_is_refused(tmp_path: Path) -> None:
    status, said = fails(tmp_path / "h", "--port", "0", "--workers", "2", "--redis", "memory://")
    assert status == 2
    assert_sentence(said)
    assert "memory://" in said


def test_a_password_stands_in_no_command_line(start_server: Any, start_crew: Any) -> None:
    server = start_server(password="s3cret")
    url = server.url.replace("unix://", "unix://:s3cret@")
    crew = start_crew("--redis", url)
    for pid, command in processes(f"worker.py {crew.hub_id}-").items():
        assert "s3cret" not in command, pid
    assert "s3cret" not in crew.hub.log()


def test_workers_run_the_code_of_the_process_that_starts_them(
    start_server: Any, tmp_path: Path
) -> None:
    """Not a module that happens to lie in the directory that they are started in."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    for name in ("hub", "msgspec", "redis", "json"):
        (here / f"{name}.py").write_text("raise SystemExit('the wrong code ran')\n")
    with running_hub(here, "--workers", "2", "--redis", start_server().url) as hub:
        assert "the wrong code" not in hub.log()


def test_an_ended_start_leaves_nothing(tmp_path: Path) -> None:
    hub_id = f"early-{os.getpid()}"
    homeport = Homeport(tmp_path)
    process = homeport.begin(
        *("serve", "--port", "0", "--workers", "2", "--hub-id", hub_id),
        *("--data-dir", str(tmp_path / "store")),
    )
    try:
        wait_until(lambda: processes(f"worker.py {hub_id}-"))
        process.terminate()
        status, out, _ = finish(process)
    finally:
        homeport.end()
    assert (status, out) == (0, "")
    assert not processes(f"worker.py {hub_id}-")
    assert not processes(str(tmp_path / "store"))
