"""Crews as processes: started, told what to do, stopped, killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tests.faults.crew import Spec
from tests.faults.notes import Note, read_notes
from tests.support.bound import bound

ROOT = Path(__file__).parents[2]
LIMIT = 60.0


class Program:
    """One crew. `killed_at` is when it was killed, `time.monotonic()`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.killed_at: float | None = None
        path = Path(spec.path)
        with path.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                bound([sys.executable, "-m", "tests.faults.crew"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        self._write(msgspec.json.encode(spec))

    def tell(self, word: str, *, wait: bool = True) -> None:
        """Say a word, and wait until it is done."""
        self._write(word.encode())
        if wait:
            self.hear(word)

    def hear(self, word: str) -> None:
        """Wait for this word."""
        assert self._process.stdout is not None
        limit = time.monotonic() + LIMIT
        said = b""
        while not said.endswith(b"\n"):
            left = limit - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(left, 0))
            data = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            assert data, f"{self.spec.name} does not say {word!r}; its log:\n{self.log()}"
            said += data
        assert said.decode().strip() == word, f"{self.spec.name} says {said!r}, not {word!r}"

    def notes(self) -> list[Note]:
        """What it has written down."""
        return read_notes(Path(self.spec.path))

    def log(self) -> str:
        """The end of what the client package logged."""
        return Path(self.spec.path).with_suffix(".log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, of a running or a stopped one."""
        if self._process.poll() is None:
            self.killed_at = time.monotonic()
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
