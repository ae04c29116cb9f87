"""Redis comes back older than it was while no hub is alive: watches start over, all are told."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Hub, Place
from tests.support.redis_servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.wire import Wire

Start = Callable[..., Any]

PHANTOMS = 40
"""Agents whose registrations are lost."""


def append_only_file(server: RedisServer) -> Path:
    """The part of the AOF that grows."""
    (path,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    return path


class Kind:
    """A way in which a store comes back older: `keep` at some time, `go_back` while it is dead."""

    settings: tuple[str, ...] = ()
    proven = True
    """Whether what a watcher knows proves it; a new secret does not."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.kept = server.directory / "kept"

    def keep(self) -> None:
        shutil.copytree(self.server.directory / "appendonlydir", self.kept)

    def after_keeping(self, place: Place) -> None:
        """What happens besides, before anything that is lost."""

    def go_back(self) -> None:
        self.server.forget()
        shutil.copytree(self.kept, self.server.directory / "appendonlydir")

    def grow(self, place: Place, revision: int) -> None:
        """What happens in the older store before the watcher is back."""


class LostTail(Kind):
    """The machine crashed: the end of the AOF is not on disk, nor all of the last command."""

    def keep(self) -> None:
        self.size = append_only_file(self.server).stat().st_size

    def go_back(self) -> None:
        path = append_only_file(self.server)
        assert path.stat().st_size > self.size + 30
        with path.open("r+b") as file:
            file.truncate(self.size + 30)


class RestoredCopy(Kind):
    """The data directory was restored from a copy."""


class CopyOfAnEarlierLog(Kind):
    """The copy is older than the log's beginning."""

    def after_keeping(self, place: Place) -> None:
        log = place.connect().ask("find")["log"]
        self.server.client.flushall()
        wait_until(lambda: place.connect().ask("find")["log"] != log, what="a new log")


class GrownAgain(Kind):
    """The log has grown beyond the watcher's revision before the watcher comes back."""

    def grow(self, place: Place, revision: int) -> None:
        wire, answer = place.agent("grows")
        while answer["revision"] < revision + 10:
            answer = wire.ask("update", version=f"v{answer['revision']}")


class OlderDump(Kind):
    """No AOF, and the last dump is old."""

    settings = ("--appendonly", "no")

    def keep(self) -> None:
        self.server.client.save()

    def go_back(self) -> None:
        assert (self.server.directory / "dump.rdb").is_file()


class Emptied(Kind):
    """All data is gone."""

    proven = False

    def keep(self) -> None:
        pass

    def go_back(self) -> None:
        self.server.forget()


KINDS = [LostTail, RestoredCopy, CopyOfAnEarlierLog, GrownAgain, OlderDump, Emptied]


def newest(watcher: Wire) -> dict[str, Any]:
    return [each for each in watcher.said_by_now() if each["op"] == "event"][-1]


def start_over(watcher: Wire, position: str, *, new_log: bool = True) -> set[str]:
    """Watch from a position that is of no part of the log; the ids of the agents in the end."""
    watching = watcher.watch(position=position)
    assert watching["resumed"] is False
    known = {agent["id"] for agent in watcher.snapshot()}
    log = watching["log"]
    while new_log and log == watching["log"]:
        message = watcher.tell()
        if message["op"] == "snapshot":
            known = {agent["id"] for agent in message["agents"]}
            log = message["log"]
            assert message["last"]
    return known


@pytest.mark.parametrize("hubs", [1, 2])
@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.__name__)
def test_watches_start_over_epochs_only_rise_and_it_is_told(
    kind: type[Kind], hubs: int, start_server: Start, start_hub: Start, enter: Any
) -> None:
    server: RedisServer = start_server()
    server.settings += kind.settings
    if kind.settings:
        server.kill()
        server.start()
    options = [("--redis", server.url, "--hub-id", f"hub-{n}") for n in range(hubs)]
    running: list[Hub] = [start_hub(*each) for each in options]
    place: Place = enter(running[0], None)
    known = {str(uuid.uuid4()): 0 for _ in range(5)}
    for agent_id in known:
        known[agent_id] = place.agent(agent_id=agent_id)[1]["epoch"]
    way = kind(server)
    way.keep()
    way.after_keeping(place)

    watcher = place.watcher()
    held: dict[str, str] = {}
    for agent_id in known:  # a second registration of each, which is lost
        answer = place.agent(agent_id=agent_id)[1]
        known[agent_id], held[agent_id] = answer["epoch"], answer["session_token"]
    phantoms = {place.agent(f"phantom-{n}")[1]["agent_id"] for n in range(PHANTOMS)}
    last = newest(watcher)
    for hub in running:
        hub.kill()
    server.kill()
    way.go_back()
    server.start()
    running = [start_hub(*each) for each in options]
    first: Place = enter(running[0], None)
    way.grow(first, last["revision"])

    place = enter(running[-1], None)
    agents = start_over(place.connect(), last["position"], new_log=way.proven)
    assert not phantoms & agents
    for agent_id, token in held.items():
        answer = first.connect().ask("resume", agent_id=agent_id, session_token=token)
        assert answer["code"] == "not_found", "it registers anew, and is not fenced off"
    for agent_id, epoch in known.items():
        answer = first.agent(agent_id=agent_id)[1]
        assert answer["epoch"] > epoch, "an epoch was given twice"
        assert not way.proven or answer["revision"] > last["revision"], "revisions went back"
    warnings = place.get("/ready").json().get("warnings", [])
    assert len([each for each in warnings if "came back older" in each]) == int(way.proven)
    assert ("the store came back older" in running[-1].log()) == way.proven
    told = f'homeport_rollbacks_total{{namespace="default"}} {float(way.proven)}'
    assert told in place.get("/metrics").text


def test_a_watch_that_cannot_prove_it_starts_over_once_another_has(
    start_server: Start, start_hub: Start, enter: Any
) -> None:
    server: RedisServer = start_server()
    options = [("--redis", server.url, "--hub-id", f"hub-{n}") for n in range(2)]
    running: list[Hub] = [start_hub(*each) for each in options]
    place: Place = enter(running[0], None)
    way = GrownAgain(server)
    place.agent("kept")
    way.keep()
    watcher = place.watcher()
    place.agent("phantom")
    last = newest(watcher)
    log = place.connect().ask("find")["log"]
    for hub in running:
        hub.kill()
    server.kill()
    way.go_back()
    server.start()
    places: list[Place] = [enter(start_hub(*each), None) for each in options]
    way.grow(places[0], last["revision"])
    living = places[0].watcher()
    start_over(places[1].connect(), last["position"])
    for each in places:
        late = each.connect()
        wait_until(lambda each=each: each.connect().ask("find")["log"] != log, what="a new log")
        assert late.watch(since=last["revision"], log=log)["resumed"] is False
    while (message := living.tell())["op"] != "snapshot":
        assert message["op"] == "event"
    assert message["log"] != log


@pytest.mark.parametrize("hubs", [1, 2])
def test_a_restart_that_lost_nothing_goes_on_resuming_watches(
    hubs: int, start_server: Start, start_hub: Start, enter: Any
) -> None:
    server: RedisServer = start_server()
    options = [("--redis", server.url, "--hub-id", f"hub-{n}") for n in range(hubs)]
    running: list[Hub] = [start_hub(*each) for each in options]
    place: Place = enter(running[0], None)
    watcher = place.watcher()
    for number in range(5):
        place.register(name=f"a-{number}")
    last = newest(watcher)
    for hub in running:
        hub.kill()
    server.kill()
    server.start()
    running = [start_hub(*each) for each in options]
    place = enter(running[-1], None)
    watcher = place.connect()
    assert watcher.watch(position=last["position"])["resumed"] is True
    assert all(each["op"] == "event" for each in watcher.said_by_now())
    assert place.get("/ready").json()["warnings"] == []


def test_a_data_directory_that_was_restored_from_a_copy(
    start_hub: Start, enter: Any, tmp_path: Path
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"

    def start() -> tuple[Hub, Place]:
        hub = start_hub("--data-dir", str(data))
        return hub, enter(hub, None)

    hub, place = start()
    kept = place.register(name="kept")
    hub.signal(signal.SIGTERM)
    assert hub.wait(20) == 0
    shutil.copytree(data, copy)
    hub, place = start()
    watcher = place.watcher()
    phantoms = {place.register(name=f"phantom-{number}") for number in range(PHANTOMS)}
    last = newest(watcher)
    hub.kill(group=True)
    time.sleep(0.5)
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    hub, place = start()
    agents = start_over(place.connect(), last["position"])
    assert kept in agents
    assert not agents & phantoms
    (warning,) = place.get("/ready").json()["warnings"]
    assert "came back older" in warning
