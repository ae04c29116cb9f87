"""A bare server as a process: started on the core that the hub has, measured, ended."""

from __future__ import annotations

import sys
from asyncio.subprocess import PIPE
from types import TracebackType
from typing import Self

from bench.errors import BenchError
from bench.rig.cores import Cores, pin
from bench.rig.processes import STOP_TIMEOUT, announced_url, end, spawn


class BaselineProcess:
    """One of `bench.baselines`, by name; an async context.

    It answers with `size` bytes, or is an echo where that is 0.
    """

    def __init__(self, name: str, *, cores: Cores, size: int = 0) -> None:
        self._name = name
        self._size = size
        self._cores = cores
        self.url = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", "bench.baselines", self._name, str(self._size)]
        self._process = await spawn(command, stdout=PIPE)
        try:
            pin(self.pid, self._cores.server)
            self.url = await announced_url(self._process)
            if not self.url:
                raise BenchError(f"the baseline {self._name} did not start")
        except BaseException:
            await end(self._process, 0.0)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(self._process, STOP_TIMEOUT)
