"""A worker process, as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from hub.errors import HubError
from hub.process.service import STOP_TIMEOUT
from hub.settings import Settings, Source

PATIENCE = STOP_TIMEOUT + 0.5
"""Seconds that a worker may take to stop; it abandons its stop by itself just before."""

WORKER = str(Path(__file__).with_name("worker.py"))


class WorkerError(HubError):
    """A worker cannot serve; says why."""


class _Report(msgspec.Struct, frozen=True):
    """A worker's report: it listens, or why it failed; after a final failure it is not started
    again."""

    failure: str | None
    final: bool = False


class WorkerHandle:
    """A hub process that shares its port with others; it is killed when this process is gone."""

    def __init__(self, process: Process, hub_id: str) -> None:
        self._process = process
        self._hub_id = hub_id

    @classmethod
    async def start(
        cls, settings: Settings, source: Source, *, embedded: bool, warnings: Sequence[str]
    ) -> WorkerHandle:
        """Start a worker with these settings; `embedded` and `warnings` are as of `Hub`.

        Raises WorkerError when no process can start.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", WORKER, settings.hub_id),
                stdin=PIPE,
                stdout=PIPE,
                # Ctrl-C reaches only this process, which asks its workers to stop.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(
                f"the worker {settings.hub_id} cannot be started: {error.strerror or error}"
            ) from None
        assert process.stdin is not None
        orders = {
            "parent": os.getpid(),
            "path": sys.path,
            "settings": settings,
            "source": source,
            "embedded": embedded,
            "warnings": warnings,
        }
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        process.stdin.close()
        return cls(process, settings.hub_id)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def listening(self) -> None:
        """Wait until it serves. Raises WorkerError with its reason when it cannot."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            status = await self.ended()
            raise WorkerError(
                f"the worker {self._hub_id} ended with status {status} before it served"
            )
        failure = msgspec.json.decode(line, type=_Report).failure
        if failure is not None:
            raise WorkerError(failure)

    async def ended(self) -> int:
        """Wait until it has ended; return the exit status (128 + N for signal N)."""
        status = await self._process.wait()
        return status if status >= 0 else 128 - status

    async def last_words(self) -> str | None:
        """Why it must not be started again, or None if it may be. Call this once it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        report = msgspec.json.decode(line, type=_Report) if line.endswith(b"\n") else None
        return report.failure if report is not None and report.final else None

    async def stop(self) -> None:
        """Stop it gracefully, and wait until it has ended."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await self.ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        await self.ended()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
