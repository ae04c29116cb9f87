"""Programs that tests start; each has a session (setsid), and ends with the test run.

A `Program` runs beside a test until it is ended; a `Homeport` runs command lines to their end.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

START_LIMIT = 30.0
"""Seconds for a program to print its first line."""

END_LIMIT = 60.0
"""Seconds for a command line to end by itself."""

_LAUNCH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; outlives exec
os.execvp(sys.argv[1], sys.argv[1:])
"""

_STEERING = re.compile(
    r"HOMEPORT_|REDIS_|PORT$|.*_proxy$|PYTHON(?!DONTWRITEBYTECODE)|(NO|FORCE)_COLOR$|COLUMNS$|LINES$",
    re.IGNORECASE,
)


def bound(command: list[str]) -> list[str]:
    """Make a command end with the test run: the kernel kills it when the starting thread ends.

    This works on Linux only, and also when the run is killed and no fixture can clean up.
    """
    if not sys.platform.startswith("linux"):
        return command
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, *command]


def homeport() -> list[str]:
    """The command `homeport` of this environment."""
    script = Path(sys.executable).with_name("homeport")
    assert script.is_file(), f"{script} is missing: install the project first"
    return [str(script)]


def environment(home: Path, **extra: str) -> dict[str, str]:
    """This environment without anything that would steer a hub or its output."""
    kept = {name: value for name, value in os.environ.items() if not _STEERING.match(name)}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), **extra}


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def parent(pid: int) -> int:
    return int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(pid)], text=True))


class Program:
    """A process that prints a line when it is ready, logs to a file, and runs until it is ended."""

    def __init__(
        self, command: list[str], log: Path, *, cwd: Path, env: dict[str, str] | None = None
    ) -> None:
        self._command = command
        self._log = log
        self._cwd = cwd
        self._env = env
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The program and its arguments."""
        return self._command

    def launch(self, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start, and wait for nothing. A program that has ended may be launched again."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                bound(self.command()),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        return self.process

    def read_line(self, within: float = START_LIMIT) -> str:
        """The next line of its stdout; when none comes, the error shows its log."""
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        said = b""
        limit = time.monotonic() + within
        while b"\n" not in said:
            ready, _, _ = select.select([descriptor], [], [], max(limit - time.monotonic(), 0))
            data = os.read(descriptor, 1) if ready else b""  # what follows the line stays
            assert data, f"it prints no line; its log:\n{self.log()}"
            said += data
        return said.decode()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def kill(self, *, group: bool = False) -> None:
        """kill -9 of the process alone, or of its whole process group."""
        assert self.process is not None
        if group:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def suspend(self) -> None:
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    def end(self) -> None:
        """End the process whatever state it is in; gracefully where that works."""
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # the process did not read all of its input
                    pass


class Homeport:
    """`homeport` as a user types it; what still runs at the end of the test is killed."""

    def __init__(self, home: Path, *before: str) -> None:
        self._home = home
        self._before = before
        self._begun: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; returns status, stdout and stderr."""
        return subprocess.CompletedProcess(arguments, *finish(self.begin(*arguments, **env)))

    def begin(
        self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        """Begin, in a new session: the terminal of the tests sends it no signals."""
        process = subprocess.Popen(
            bound([*self._before, *homeport(), *arguments]),
            env=environment(self._home, **env),
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._begun.append(process)
        return process

    def prefixed(self, *program: str) -> Homeport:
        """The same, started by another program; ended together with this one."""
        other = Homeport(self._home, *program)
        other._begun = self._begun
        return other

    def end(self) -> None:
        for process in self._begun:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=END_LIMIT)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end; returns status, stdout and stderr."""
    out, err = process.communicate(timeout=END_LIMIT)
    return process.returncode, out, err
