"""A bare server as a process, on the core that the hub has."""

from __future__ import annotations

from asyncio.subprocess import PIPE

from bench.errors import BenchError
from bench.rig.cores import Cores, pin
from bench.rig.processes import Program, announced_url, python, spawn


class BaselineProcess(Program):
    """One of `bench.baselines`, by name.

    It answers with `size` bytes, or is an echo where that is 0.
    """

    def __init__(self, name: str, *, cores: Cores, size: int = 0) -> None:
        self._name = name
        self._size = size
        self._cores = cores
        self.url = ""

    async def start(self) -> None:
        """Start it and wait until it listens."""
        command = python("bench.baselines", self._name, str(self._size))
        self._process = await spawn(command, stdout=PIPE)
        pin(self.pid, self._cores.server)
        self.url = await announced_url(self._process)
        if not self.url:
            raise BenchError(f"the baseline {self._name} did not start")
