"""The soak goes on beside all other tests of the bench: most of its time is waiting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import bound

ROOT = Path(__file__).parents[2]
COMMAND = ("-m", "bench", "soak", "--seconds", "20", "--lives", "25", "--json")


class Soak:
    """A soak that has been started; what it says is in two files of `directory`."""

    def __init__(self, directory: Path) -> None:
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                bound([sys.executable, *COMMAND]), cwd=ROOT, stdout=out, stderr=err
            )

    def end(self) -> None:
        """End it, if it has not ended by itself."""
        self._process.terminate()
        self._process.wait()

    def wait(self, seconds: float) -> tuple[int, str, str]:
        """Its exit status, and what it said to stdout and stderr."""
        status = self._process.wait(seconds)
        return status, self._out.read_text(), self._err.read_text()


@pytest.fixture(scope="session", autouse=True)
def soak(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Soak | None]:
    """Begins with the first test of the bench, where a test asks for it at all."""
    if not any(item.path.name == "test_short.py" for item in request.session.items):
        yield None
        return
    soak = Soak(tmp_path_factory.mktemp("soak"))
    try:
        yield soak
    finally:
        soak.end()
