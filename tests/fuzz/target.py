"""The hub that is fuzzed, a process, and what is seen of it from outside.

Whatever it is sent, it must go on serving: no crash, no traceback, no turn of its loop above 50 ms,
and no memory that grows.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from tests.support.hub_process import Hub, new_namespace
from tests.support.wire import Wire

MAX_STALL = 0.05
"""Seconds that one turn of the hub's loop may take."""

REPLAYS = 4
"""An example is a stall only if all of them are slow: other programs want the cores as well."""

MAX_GROWTH = 48 * 2**20
"""Bytes by which the hub may grow once it is warm."""

_WORST = ("Traceback", '"level": "error"', '"level": "critical"')

OPTIONS = [
    *("--redis", "memory://", "--log-format", "json", "--loss-share", "1"),
    # Agents that a connection leaves behind are soon gone.
    *("--heartbeat-interval", "5", "--heartbeat-timeout", "10", "--lease-ttl", "10"),
    *("--resume-window", "0.2", "--max-rate", "1000000"),
    *("--max-namespaces", "8"),  # requests make some up
    *("--log-length", "1000"),  # it is memory as well
]


class Found(AssertionError):  # noqa: N818 - what the fuzzers look for
    """The hub did something that it may not."""


class Target:
    """A hub, started when needed and again when it has died; one example is sent at a time."""

    def __init__(
        self,
        directory: Path,
        options: Sequence[str],
        env: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> None:
        self._directory = directory
        self._options = [*OPTIONS, *options]
        self._env = dict(env)
        self._headers = dict(headers)
        self._hub: Hub | None = None
        self._read = 0
        self.namespace = new_namespace()
        self.worst_stall = 0.0
        """Seconds of the slowest turn that was confirmed."""
        self.warm: int | None = None
        """Bytes of memory that the warm hub had."""

    @property
    def hub(self) -> Hub:
        """The hub, which runs."""
        if self._hub is None or not self._hub.running:
            self._hub = Hub(self._directory, *self._options, env=self._env).start()
            self._read, self.warm = 0, None
            self.connect().drop()  # while it may still make a namespace
        return self._hub

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.hub.port

    def connect(self) -> Wire:
        assert self._hub is not None
        return Wire(self._hub.url, namespace=self.namespace, headers=self._headers)

    def try_out(self, send: Callable[[], None]) -> None:
        """Send one example with `send`, which judges the answers; raises Found."""
        before = self._busy()
        try:
            send()
        finally:
            self.check()  # says more than an answer that did not come
        if self._busy() - before > MAX_STALL:  # in one turn or in many
            slowest = min(self._slowest_beside(send) for _ in range(REPLAYS))
            self.worst_stall = max(self.worst_stall, slowest)
            if slowest > MAX_STALL:
                raise Found(f"an honest client waited {slowest * 1000:.0f} ms beside it, each time")

    def check(self) -> None:
        """The hub runs, serves an honest client, and has logged no traceback; raises Found."""
        hub = self._hub
        assert hub is not None
        try:
            honest = self.connect()
            honest.ping()
            honest.drop()
        except (AssertionError, OSError) as error:
            with suppress(subprocess.TimeoutExpired):
                status = hub.wait(5)
                raise Found(f"the hub ended with {status}; its log:\n{hub.log()[-4000:]}") from None
            raise Found(f"the hub serves nobody any more: {error}\n{hub.log()[-4000:]}") from error
        log = hub.log()
        news, self._read = log[self._read :], len(log)
        if any(word in news for word in _WORST):
            raise Found(f"the hub logged\n{news[-4000:]}")

    def note_warm(self) -> None:
        """Remember the hub's memory, to compare with at the end."""
        self.warm = self._memory()

    def check_memory(self) -> int:
        """Bytes that the hub has grown since `note_warm`; raises Found when they are too many."""
        grown = self._memory() - self.warm if self.warm is not None else 0
        if grown > MAX_GROWTH:
            raise Found(f"the hub grew by {grown / 2**20:.0f} MiB")
        return grown

    def end(self) -> None:
        """Stop the hub, which must still be able to end by itself; raises Found."""
        if self._hub is not None:
            self._hub.end()
            if "Traceback" in self._hub.log():
                raise Found(f"the hub ended with\n{self._hub.log()[-4000:]}")

    def _slowest_beside(self, send: Callable[[], None]) -> float:
        """Seconds of the longest round trip of an honest client while the example is sent."""
        honest, ended, took = self.connect(), threading.Event(), [0.0]

        def ask() -> None:
            with suppress(AssertionError, OSError):
                while not ended.is_set():
                    began = time.monotonic()
                    honest.ping()
                    took.append(time.monotonic() - began)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            send()
        finally:
            ended.set()
            thread.join(30)
            honest.drop()
        # What any round trip takes here, because the cores are shared, is no stall.
        return max(took) - statistics.median(took)

    def _busy(self) -> float:
        """Seconds of processor time that the hub's loop has had; Linux only, elsewhere 0."""
        try:
            text = Path(f"/proc/{self.hub.pid}/schedstat").read_text()
        except OSError:
            return 0.0
        return int(text.split()[0]) / 1e9

    def _memory(self) -> int:
        """Bytes of memory that the hub's process has; Linux only, elsewhere 0."""
        try:
            lines = Path(f"/proc/{self.hub.pid}/status").read_text().splitlines()
        except OSError:
            return 0
        sizes = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
        return next(sizes, 0)  # a process that is ending has none


@contextmanager
def fuzzed_hub(
    options: Sequence[str] = (),
    env: Mapping[str, str] = MappingProxyType({}),
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Target]:
    """A `Target` in a directory of its own; at the end its hub must end by itself.

    The hub gets these options and variables; with these headers its honest clients connect.
    """
    with tempfile.TemporaryDirectory(prefix="homeport-fuzz-") as directory:
        target = Target(Path(directory), options, env, headers)
        try:
            yield target
        finally:
            target.end()
