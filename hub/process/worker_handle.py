"""A worker process, as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import assert_never

import msgspec

from hub.errors import HubError
from hub.process.service import STOP_TIMEOUT
from hub.process.worker_messages import (
    MAX_LINE,
    CountNow,
    Figures,
    Metrics,
    MetricsWanted,
    Report,
    from_worker,
    line_of,
)
from hub.settings import Settings, Source
from hub.telemetry.figures import Family

PATIENCE = STOP_TIMEOUT + 0.5
"""Seconds that a worker may take to stop; it abandons its stop by itself just before."""

COUNT_TIMEOUT = 1.0
"""Seconds that a worker may take to tell its figures; one that hangs holds up no scrape longer."""

WORKER = str(Path(__file__).with_name("worker.py"))


class WorkerError(HubError):
    """A worker cannot serve; says why."""


class WorkerHandle:
    """A hub process that shares its port with others; it is killed when this process is gone."""

    def __init__(self, process: Process, hub_id: str) -> None:
        self._process = process
        self._hub_id = hub_id
        self._final: str | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[list[Family]] | None = None
        self.latest: list[Family] = []
        """The figures that it told last."""

    @classmethod
    async def start(
        cls, settings: Settings, source: Source, *, embedded: bool, warnings: Sequence[str]
    ) -> WorkerHandle:
        """Start a worker with these settings; `embedded` and `warnings` are as of `Hub`.

        Raises WorkerError when no process can start.
        """
        # Its own standard output is for its messages to this process.
        stdout = os.dup(1)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", WORKER, settings.hub_id),
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_LINE,
                # Ctrl-C reaches only this process, which asks its workers to stop.
                start_new_session=True,
                pass_fds=(stdout,),
            )
        except OSError as error:
            raise WorkerError(
                f"the worker {settings.hub_id} cannot be started: {error.strerror or error}"
            ) from None
        finally:
            os.close(stdout)
        assert process.stdin is not None
        orders = {
            "parent": os.getpid(),
            "path": sys.path,
            "settings": settings,
            "source": source,
            "embedded": embedded,
            "warnings": warnings,
            "stdout": stdout,
        }
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        return cls(process, settings.hub_id)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def listening(self, metrics: Callable[[], Awaitable[str]]) -> None:
        """Wait until it serves. Raises WorkerError with its reason when it cannot.

        From then on `metrics` answers it when it wants the metrics of all workers.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            status = await self.ended()
            raise WorkerError(
                f"the worker {self._hub_id} ended with status {status} before it served"
            )
        report = from_worker(line)
        if isinstance(report, Report) and report.failure is not None:
            error = WorkerError(report.failure)
            error.status = report.status
            raise error
        self._reading = asyncio.create_task(self._read(metrics), name=f"worker {self._hub_id}")

    async def figures(self) -> list[Family] | None:
        """Its figures as they are now; None when it does not tell them in time."""
        assert self._process.stdin is not None
        if self._asked is None:  # else it has not answered the last question yet
            self._asked = asyncio.get_running_loop().create_future()
            self._process.stdin.write(line_of(CountNow()))
        try:
            async with asyncio.timeout(COUNT_TIMEOUT):
                return await asyncio.shield(self._asked)
        except (TimeoutError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return None

    async def ended(self) -> int:
        """Wait until it has ended; return the exit status (128 + N for signal N)."""
        status = await self._process.wait()
        return status if status >= 0 else 128 - status

    async def last_words(self) -> str | None:
        """Why it must not be started again, or None if it may be. Call this once it has ended."""
        if self._reading is not None:
            await self._reading
        return self._final

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

    async def _read(self, metrics: Callable[[], Awaitable[str]]) -> None:
        """Take its messages until it has ended."""
        assert self._process.stdout is not None
        answers: set[asyncio.Task[None]] = set()
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            match message := from_worker(line):
                case Report():
                    self._final = message.failure if message.final else None
                case Figures():
                    self.latest = message.families
                    asked, self._asked = self._asked, None
                    if asked is not None:
                        asked.set_result(message.families)
                case MetricsWanted():
                    task = asyncio.create_task(self._answer(message.id, metrics))
                    answers.add(task)
                    task.add_done_callback(answers.discard)
                case _:
                    assert_never(message)
        for task in answers:
            task.cancel()
        if self._asked is not None:
            self._asked.cancel()

    async def _answer(self, number: int, metrics: Callable[[], Awaitable[str]]) -> None:
        assert self._process.stdin is not None
        text = await metrics()
        self._process.stdin.write(line_of(Metrics(number, text)))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
