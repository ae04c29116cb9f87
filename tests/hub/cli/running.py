"""`homeport` as a process: run to its end, or begun and steered by signals."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

TIMEOUT = 30.0
"""Seconds after which a test gives a process up."""


class Homeport:
    """Runs command lines; whatever still runs at the end of the test is killed."""

    def __init__(self, program: list[str], environment: dict[str, str]) -> None:
        self._program = program
        self._environment = environment
        self._begun: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; returns status, stdout and stderr."""
        process = self.begin(*arguments, **environment)
        out, err = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def begin(
        self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str]:
        """Begin, in a session of its own: no terminal of the tests' has any part in it."""
        process = subprocess.Popen(
            [*self._program, *arguments],
            env={**self._environment, **environment},
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
        other = Homeport([*program, *self._program], self._environment)
        other._begun = self._begun
        return other

    def end(self) -> None:
        for process in self._begun:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=TIMEOUT)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end; returns status, stdout and stderr."""
    out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out, err


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Poll until `true()`; fails after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def content(path: Path) -> str:
    """What a file holds, nothing when there is none."""
    return path.read_text() if path.exists() else ""
