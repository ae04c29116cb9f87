"""Scenarios in small forms, run beside each other: most of their time is waiting."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.rig.processes import HubProcess, temporary_directory
from tests.bench.left import agents_left
from tests.support.programs import bound

ROOT = Path(__file__).parents[2]

FAST = ["--rounds", "1", "--seconds", "0.1", "--warm-up", "0.05", "--pause", "0"]
SMALL = [
    *("--connections", "6", "--pipelined", "4", "--outstanding", "2", "--in-flight", "2"),
    *("--fleets", "20,40", "--agents", "30", "--at-once", "7", "--first", "5"),
    *("--changes", "10", "--watchers", "8", "--deaths", "3"),
]
RUNS = {
    "speed": ["speed", *FAST, *SMALL],
    "costs": ["costs", "--agents", "20", "--changes", "256", "--seconds", "0.5"],
    "silence": ["silence", "--agents", "20", "--scale", "50", "--spread", "0.5"],
    "faults": [
        *("restart", "fleet", "agent-death", "failover", "rolling", "cluster-lag", "redis-stop"),
        *("outgrow", "--updates", "60", "--readers", "3", "--listed", "60", "--comers", "30"),
        *("--log-mib", "1", "--send-timeout", "1.5"),
        *("--agents", "20", "--rounds", "1", "--seconds", "6", "--rate", "40", "--interval", "1"),
        *("--newcomers", "20", "--resume-window", "0.5", "--lease-ttl", "8"),
    ],
    "fairness": [
        *("fairness", "--agents", "20", "--callers", "5", "--pipelined", "30", "--changes", "300"),
        *("--seconds", "2", "--p99", "1000", "--worst", "2000"),  # it shares its cores
    ],
    "abuse": [
        *("abuse", "--agents", "10", "--interval", "0.2", "--seconds", "1", "--calm", "0.4"),
        *("--scale", "0.02", "--log-mib", "1", "--unsent-mib", "8"),
    ],
    "soak": ["soak", "--seconds", "20", "--lives", "25"],
}
"""Small forms of all scenarios, one process after the other, but for those that are beside."""

BESIDE = ("soak", "abuse")
"""They mostly wait, and each has a lane of its own."""

VISITORS = [
    *("heartbeats", "growth", "find", "storm", "fanout", "http", *FAST),
    *("--connections", "2", "--pipelined", "2", "--fleets", "20,40", "--in-flight", "1"),
    *("--agents", "9", "--changes", "2", "--watchers", "3", "--only", "heartbeat,register"),
]
"""Small forms of those that can be run against a hub that is there already."""


class Ran:
    """What a process of the bench came to; `left` is how many agents are left at a hub."""

    def __init__(self, status: int, out: str, err: str) -> None:
        assert out, err
        self.status = status
        self.out = out
        self.err = err
        self.document = json.loads(out)
        self.left: set[float] = set()
        self.url = ""

    def report(self, name: str) -> dict[str, Any]:
        assert self.document["failures"] == []
        (report,) = [each for each in self.document["reports"] if each["name"] == name]
        return dict(report)


class Runs:
    """Processes of the bench, each of which is started once, with charts in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: set[subprocess.Popen[bytes]] = set()
        self._over = threading.Event()
        self._lanes = {name: ThreadPoolExecutor(1) for name in ("", *BESIDE)}
        self._futures: dict[str, Future[Ran]] = {}
        for name, arguments in RUNS.items():
            lane, charts = self._lanes[name if name in BESIDE else ""], str(directory / name)
            self._futures[name] = lane.submit(self._run, [*arguments, "--json", "--plot", charts])
        self._futures["visitors"] = self._lanes[""].submit(self._visit)

    def of(self, name: str) -> Ran:
        """What became of this one; waits until it has ended."""
        return self._futures[name].result()

    def end(self) -> None:
        """End what is still running."""
        self._over.set()
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
        for process in [*self._running]:
            process.terminate()
        for lane in self._lanes.values():
            lane.shutdown()

    def _run(self, arguments: list[str]) -> Ran:
        command = bound([sys.executable, "-m", "bench", *arguments])
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)
            self._running.add(process)
            if self._over.is_set():
                process.terminate()
            status = process.wait()
            self._running.discard(process)
            out.seek(0)
            err.seek(0)
            return Ran(status, out.read().decode(), err.read().decode())

    def _visit(self) -> Ran:
        async def visit() -> Ran:
            with temporary_directory() as directory:
                async with HubProcess(directory, redis="memory://") as hub:
                    arguments = [*VISITORS, "--url", hub.url, "--peer", hub.url, "--json"]
                    ran = await asyncio.to_thread(self._run, arguments)
                    ran.url = hub.url
                    ran.left = await agents_left(hub.url)
                    return ran

        return asyncio.run(visit())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    runs = Runs(tmp_path_factory.mktemp("runs"))
    try:
        yield runs
    finally:
        runs.end()
