"""Crews as processes: started, told what to do, stopped, killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tests.faults.crew import Spec
from tests.faults.notes import Note, read_notes
from tests.support.programs import Program

ROOT = Path(__file__).parents[2]
LIMIT = 60.0


class CrewProcess(Program):
    """One crew. `killed_at` is when it was killed, `time.monotonic()`."""

    def __init__(self, spec: Spec) -> None:
        command = [sys.executable, "-m", "tests.faults.crew"]
        super().__init__(command, Path(spec.path).with_suffix(".log"), cwd=ROOT)
        self.spec = spec
        self.killed_at: float | None = None
        self.launch(stdin=subprocess.PIPE)
        self._write(msgspec.json.encode(spec))

    def tell(self, word: str, *, wait: bool = True) -> None:
        """Say a word, and wait until it is done."""
        self._write(word.encode())
        if wait:
            self.hear(word)

    def hear(self, word: str) -> None:
        """Wait for this word."""
        said = self.read_line(LIMIT)
        assert said.strip() == word, f"{self.spec.name} says {said!r}, not {word!r}"

    def notes(self) -> list[Note]:
        """What it has written down."""
        return read_notes(Path(self.spec.path))

    def kill(self, *, group: bool = False) -> None:
        if self.running:
            self.killed_at = time.monotonic()
        super().kill(group=group)
        self.end()

    def _write(self, line: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
