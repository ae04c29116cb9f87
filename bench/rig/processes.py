"""Hubs and store servers as processes: private, measured, killed, and always cleaned up."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from bench.errors import BenchError
from bench.rig.cores import Cores, pin, pin_hub
from hub.engine.binary import find_server

START_TIMEOUT = 60.0
STOP_TIMEOUT = 12.0
MAX_TEMPORARY = 60
"""Characters of the system's temporary directory that leave room for the path of a socket."""

_HUB_SETTINGS = ("HOMEPORT_", "REDIS_ADDR", "REDIS_PASSWORD", "PORT")

_running: dict[int, Process] = {}


@atexit.register  # for a second Ctrl-C, which interrupts even the cleaning up
def _kill_the_rest() -> None:
    for process in _running.values():
        with suppress(ProcessLookupError):
            process.kill()


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules as a process; to be started by `spawn`.

    `-P` keeps the working directory off its search path, so that a file there that is called
    `hub.py`, say, does not take the place of our package.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


async def spawn(
    command: list[str],
    *,
    stdin: int | None = DEVNULL,
    stdout: int | None = DEVNULL,
    stderr: int | BinaryIO | None = None,
    limit: int = 2**16,
) -> Process:
    """Start a process that no Ctrl-C of the terminal reaches; `end` ends it.

    It finds the same Python modules as this process, and no settings of other hubs.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env=_environment(os.environ),
        limit=limit,
    )
    _running[process.pid] = process
    return process


async def end(process: Process, patience: float) -> None:
    """SIGTERM, then SIGKILL after `patience` seconds; the process is gone when this returns."""
    if process.returncode is None:
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)  # a stopped process could not obey
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except BaseException as error:
            _send(process, signal.SIGKILL)
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise
    _running.pop(process.pid, None)


def _send(process: Process, number: signal.Signals) -> None:
    """Send a signal; `Process.send_signal` may reap the process before asyncio does."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def announced_url(process: Process) -> str:
    """The URL that ends the first line of a server's output; "" when none comes in time."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT):
            line = await process.stdout.readline()
    except TimeoutError:
        return ""
    words = line.decode(errors="replace").split()
    return words[-1] if words and "://" in words[-1] else ""


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """A private directory, with a path short enough for unix sockets in it where there is one."""
    parent, short = tempfile.gettempdir(), "/tmp"  # noqa: S108 - mkdtemp makes it private
    if len(parent) > MAX_TEMPORARY and os.path.isdir(short):
        parent = short
    return tempfile.TemporaryDirectory(prefix="hpb-", dir=parent, ignore_cleanup_errors=True)


class Program(ABC):
    """A process that runs while its context is open."""

    _process: Process | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # an interruption, too: __aexit__ is not called then
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @abstractmethod
    async def start(self) -> None:
        """Start it, and wait until it can be used; else BenchError."""

    async def stop(self) -> None:
        """Stop it gracefully, unless it is gone."""
        if self._process is not None:
            await end(self._process, STOP_TIMEOUT)

    async def kill(self) -> float:
        """`kill -9`; returns when, as `time.monotonic()`. The process is gone when this returns."""
        assert self._process is not None
        at = time.monotonic()
        if self._process.returncode is None:
            _send(self._process, signal.SIGKILL)
            await self._process.wait()
        _running.pop(self._process.pid, None)
        return at


class HubProcess(Program):
    """One hub.

    `settings` are options of `homeport serve`, without the dashes and with `_` for `-`. The
    store is the embedded engine with its data in `directory`, unless `redis` is among the
    settings. The log is `directory/hub.log`. With `cores` it and its store are pinned to those.
    It may open `max_open_files`, if that is not 0. After `kill` or `stop` it can be started again,
    on the same port and data.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        cores: Cores | None = None,
        max_open_files: int = 0,
        **settings: object,
    ) -> None:
        self.log = Path(directory) / "hub.log"
        self.url = ""
        self.data_dir = Path(directory) / "data"
        """Of the embedded store."""
        self._cores = cores
        self._max_open_files = max_open_files
        self._settings = {"port": 0, "hub_id": "bench", **settings}
        if "redis" not in settings:
            self._settings["data_dir"] = self.data_dir

    @property
    def websocket_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/ws"

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, BenchError):
            error.add_note(f"the hub's last words: {self.last_words()}")
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it listens."""
        command = [*homeport(), "serve"]
        for name, value in self._settings.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        if self._max_open_files:
            command = ["sh", "-c", f'ulimit -n {self._max_open_files} && exec "$@"', "sh", *command]
        with self.log.open("ab") as log:
            self._process = await spawn(command, stdout=PIPE, stderr=log)
        if self._cores is not None:
            pin(self.pid, self._cores.server)
        self.url = await announced_url(self._process)
        if not self.url:
            raise BenchError(f"the hub did not start: {self.last_words()}")
        self._settings["port"] = self.url.rpartition(":")[2]
        if self._cores is not None:
            pin_hub(self.pid, self._cores)

    def stalls(self) -> int:
        """How often it noticed that it had been stalled, and gave its agents more time."""
        return self.log.read_text(errors="replace").count("the hub was stalled")

    def failures(self) -> int:
        """How many internal failures it logged: faults of the product, even if all else held."""
        text = self.log.read_text(errors="replace")
        return sum(text.count(words) for words in ("Traceback", "actor failed", "[critical"))

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"


class StoreServer(Program):
    """A private Valkey or Redis server on a unix socket, which can be stopped and let go on."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._socket = self._directory / "store.sock"
        self.url = f"unix://{self._socket}"

    async def start(self) -> None:
        """Start it and wait until it listens."""
        binary = await asyncio.to_thread(find_server, self._directory)
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            "logfile": str(self._directory / "store.log"),
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._process = await spawn([binary.path, *options])
        until = time.monotonic() + START_TIMEOUT
        while not await self._listens():
            if self._process.returncode is not None or time.monotonic() > until:
                raise BenchError(f"the store server {binary} did not start")
            await asyncio.sleep(0.02)

    def suspend(self) -> float:
        """SIGSTOP; returns `time.monotonic()` of an instant from which on it does nothing."""
        self._signal(signal.SIGSTOP)
        time.sleep(0.005)  # the signal takes effect at the process's next interruption
        return time.monotonic()

    def go_on(self) -> float:
        """SIGCONT; returns `time.monotonic()` of an instant before which it did nothing."""
        at = time.monotonic()
        self._signal(signal.SIGCONT)
        return at

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        writer.close()
        return True


def homeport() -> list[str]:
    """The command that runs our command line."""
    script = Path(sys.executable).with_name("homeport")
    return [str(script)] if script.exists() else python("hub")


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """This environment without settings of hubs, and with our search path for modules.

    So in a checkout that is not installed the modules are found with `-P` as well.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_HUB_SETTINGS)}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
