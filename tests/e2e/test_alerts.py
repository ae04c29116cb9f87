"""Every alert of the how-to fires when that happens which it is for, and not before."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_far_store import way
from tests.e2e.test_older_store import append_only_file, newest, start_over
from tests.e2e.test_worker_metrics import session_at
from tests.e2e.test_workers import Crew, start_crew
from tests.faults.network import Proxy
from tests.support.hub_process import Place
from tests.support.promql import Scrapes
from tests.support.redis_servers import RedisServer
from tests.support.waiting import wait_until

__all__ = ["start_crew", "way"]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="asks the kernel of Linux about processes"
)

PAGE = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text(encoding="utf-8")
SOON = 30.0
"""Seconds in which an alert fires at the latest, on a slow machine."""

Start = Callable[..., Any]


def documented() -> list[str]:
    """The alerts' expressions, in the order of the page."""
    (block,) = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines()]


TESTED: set[str] = set()


def alert(expression: str) -> str:
    """An expression that is proven here; it must be documented, word for word."""
    TESTED.add(expression)
    return expression


class Observed:
    """A hub that is scraped; `get` returns an answer of `/metrics`."""

    def __init__(self, get: Callable[[], str]) -> None:
        self._get = get
        self._scrapes = Scrapes()

    def fires(self, expression: str) -> bool:
        """Whether the alert fires after one more scrape."""
        self._scrapes.add(self._get())
        return bool(self._scrapes.value(expression))

    def stays_silent(self, expression: str) -> None:
        for _ in range(3):
            assert not self.fires(expression), self._scrapes.value(expression)

    def must_fire(self, expression: str) -> None:
        wait_until(lambda: self.fires(expression), SOON, what=expression)
        assert self.fires(expression), "it goes on"

    def must_end(self, expression: str) -> None:
        wait_until(lambda: not self.fires(expression), SOON, what=f"the end of {expression}")


def observed(place: Place) -> Observed:
    return Observed(lambda: str(place.get("/metrics").text))


def test_every_documented_alert_is_proven_here() -> None:
    assert sorted(TESTED) == sorted(documented())


NOT_READY = alert("homeport_ready == 0")
PENDING = alert("homeport_pending_changes > 0")


def test_a_stopped_redis(start_server: Start, start_hub: Start, enter: Any) -> None:
    server: RedisServer = start_server()
    place: Place = enter(start_hub("--redis", server.url), None)
    wire, _ = place.agent("a")
    seen = observed(place)
    for expression in (NOT_READY, PENDING):
        seen.stays_silent(expression)
    server.suspend()
    # Also if nothing was under way when it stopped: the hub finds out by itself.
    seen.must_fire(NOT_READY)
    assert wire.ask("heartbeat", status="degraded")["durable"] is False
    seen.must_fire(PENDING)
    assert seen.fires('homeport_not_ready_reason{reason="store_away"} == 1')
    server.wake()
    for expression in (NOT_READY, PENDING):
        seen.must_end(expression)


WARNING = alert("homeport_warning > 0")


def test_what_no_hub_wrote(start_server: Start, start_hub: Start, enter: Any) -> None:
    server: RedisServer = start_server()
    place: Place = enter(start_hub("--redis", server.url), None)
    seen = observed(place)
    seen.stays_silent(WARNING)
    key = f"agent:{uuid.uuid4()}"
    server.client.set(key, "no record")
    server.client.sadd("agents:active", key.removeprefix("agent:"))
    place.hub.kill()
    place = enter(start_hub("--redis", server.url), None)
    seen = observed(place)
    seen.must_fire(WARNING)
    assert seen.fires('homeport_warning{warning="store_foreign_data"} == 1')
    assert not seen.fires('homeport_warning{warning="mass_loss"} == 1')
    server.client.delete(key)
    seen.must_end(WARNING)


SLOW = alert("homeport_store_round_trip_seconds > 0.25")


def test_a_slow_store(way: Proxy, start_hub: Start, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", f"redis://127.0.0.1:{way.port}"), None)
    wire, _ = place.agent("a")
    seen = observed(place)
    seen.stays_silent(SLOW)
    way.slow(0.3)

    def fires() -> bool:
        wire.ask("heartbeat")
        return seen.fires(SLOW)

    wait_until(fires, SOON)
    assert seen.fires('homeport_warning{warning="store_slow"} == 1')
    way.slow(0.0)
    wait_until(lambda: not fires(), SOON)


LOST_AT_ONCE = alert("homeport_agents_lost_at_once > 0")
FLAPPING = alert('sum(increase(homeport_events_total{kind="lost"}[5m])) > 20')


def test_many_agents_lost_at_once(start_hub: Start, enter: Any) -> None:
    times = ("--resume-window", "0.3")
    place: Place = enter(start_hub("--redis", "memory://", *times), None)
    wires = [place.agent(f"a{number}")[0] for number in range(25)]
    seen = observed(place)
    for expression in (LOST_AT_ONCE, FLAPPING, WARNING):
        seen.stays_silent(expression)
    for wire in wires:
        wire.reset()
    for expression in (LOST_AT_ONCE, FLAPPING, WARNING):
        seen.must_fire(expression)
    assert seen.fires('homeport_warning{warning="mass_loss"} == 1')
    restless = place.connect().ask("flapping", changes=2)["agents"]  # lost, and unreachable
    assert sorted(each["name"] for each in restless) == sorted(f"a{n}" for n in range(25))
    assert place.connect().ask("acknowledge_loss")["agents"] == 25
    for expression in (LOST_AT_ONCE, WARNING):
        seen.must_end(expression)


FEWER_HUBS = alert("homeport_hubs < 2")


def test_a_lost_hub(start_server: Start, start_hub: Start, enter: Any) -> None:
    url = start_server().url
    hubs = [start_hub("--redis", url, "--hub-id", f"hub-{number}") for number in range(2)]
    seen = observed(enter(hubs[0], None))
    seen.must_end(FEWER_HUBS)  # each has heard of the other
    hubs[1].kill()
    seen.must_fire(FEWER_HUBS)


WORKER_DOWN = alert("homeport_worker_up == 0")


def test_a_worker_that_hangs(start_crew: Callable[..., Crew]) -> None:
    crew = start_crew()
    session = session_at(crew, f"{crew.hub_id}-1")
    seen = Observed(lambda: session.get(f"{crew.hub.url}/metrics", timeout=20).text)
    seen.must_end(WORKER_DOWN)
    pid = crew.workers()[f"{crew.hub_id}-2"]
    os.kill(pid, signal.SIGSTOP)
    try:
        seen.must_fire(WORKER_DOWN)
    finally:
        os.kill(pid, signal.SIGCONT)
    seen.must_end(WORKER_DOWN)


ROLLBACK = alert("increase(homeport_rollbacks_total[1h]) > 0")


def test_a_store_that_came_back_older(start_server: Start, start_hub: Start, enter: Any) -> None:
    server: RedisServer = start_server()
    hub = start_hub("--redis", server.url)
    place: Place = enter(hub, None)
    place.agent("kept")
    assert append_only_file(server).is_file()
    kept = server.directory / "kept"
    shutil.copytree(server.directory / "appendonlydir", kept)
    watcher = place.watcher()
    place.agent("phantom")
    last = newest(watcher)
    hub.kill()
    server.kill()
    server.forget()
    shutil.copytree(kept, server.directory / "appendonlydir")
    server.start()
    place = enter(start_hub("--redis", server.url), None)
    seen = observed(place)
    seen.stays_silent(ROLLBACK)
    start_over(place.connect(), last["position"])
    seen.must_fire(ROLLBACK)
    assert seen.fires('homeport_warning{warning="store_rolled_back"} == 1')


FENCED = alert("increase(homeport_sessions_fenced_total[5m]) > 0")


def test_two_programs_with_one_id(start_hub: Start, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", "memory://"), None)
    agent_id = str(uuid.uuid4())
    first, _ = place.agent("a", agent_id=agent_id)
    seen = observed(place)
    seen.stays_silent(FENCED)
    place.agent("a", agent_id=agent_id)
    assert first.closing()[0] == 4409
    seen.must_fire(FENCED)


LIMITED = alert("increase(homeport_limits_applied_total[5m]) > 0")


def test_a_limit(start_hub: Start, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", "memory://", "--max-watches", "1"), None)
    wire = place.connect()
    wire.ask("watch")
    seen = observed(place)
    seen.stays_silent(LIMITED)
    wire.drain()
    assert wire.ask("watch")["code"] == "rate_limited"
    seen.must_fire(LIMITED)


LAG = alert("histogram_quantile(0.99, rate(homeport_event_loop_lag_seconds_bucket[5m])) > 0.25")


def test_a_hub_that_stalls(start_hub: Start, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", "memory://"), None)
    seen = observed(place)
    seen.fires(LAG)  # a busy machine may lag by itself; a rate needs an earlier scrape
    place.hub.suspend()
    wait_until(lambda: state_of(place.hub.pid) == "T")
    # Not a wait for something to happen: the stall itself, longer than the alert's bound.
    signal.sigtimedwait([], 1.5)
    place.hub.wake()
    seen.must_fire(LAG)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


FILES = alert("process_open_fds / process_max_fds > 0.8")


def test_a_hub_that_runs_out_of_open_files(start_hub: Start, enter: Any) -> None:
    place: Place = enter(start_hub("--redis", "memory://"), None)
    pid = place.hub.pid
    opened = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    limit = 3 * opened
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    seen = observed(place)
    seen.stays_silent(FILES)
    for _ in range(limit - opened - limit // 10):
        place.connect()
    seen.must_fire(FILES)
