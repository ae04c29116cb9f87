"""A worker's link to the process that started it: its figures go there, all workers' come back."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from typing import assert_never

from hub.process.worker_messages import (
    MAX_LINE,
    CountNow,
    Figures,
    Metrics,
    MetricsWanted,
    line_of,
    to_worker,
)
from hub.telemetry import metrics

PATIENCE = 3.0
"""Seconds that the metrics of all workers may take; the parent waits less long for each."""


class MetricsTimeoutError(Exception):
    """The parent process did not answer in time."""


class ParentLink:
    """Answers what the parent asks over stdin and stdout, and asks it for the sum of all workers.

    `start` needs a running loop, and `close` must be awaited before it ends.
    """

    def __init__(self, own: metrics.Metrics) -> None:
        self._own = own
        self._numbers = itertools.count(1)
        self._wanted: dict[int, asyncio.Future[bytes]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read stdin and to write stdout."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(MAX_LINE)
        # Copies, which are closed with the loop: a last report may come after that.
        stdin = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
        stdout = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stdin)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, stdout
        )
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        self._reading = asyncio.create_task(self._read(reader), name="parent")

    async def metrics_of_all(self) -> bytes:
        """The metrics of all workers as one; raises MetricsTimeoutError."""
        assert self._writer is not None
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wanted[number] = answer
        self._writer.write(line_of(MetricsWanted(number)))
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            raise MetricsTimeoutError from None
        finally:
            del self._wanted[number]

    async def close(self) -> None:
        """Tell the last figures, so that they go on to count."""
        if self._writer is None:
            return
        if self._reading is not None:
            self._reading.cancel()
        self._writer.write(line_of(Figures(self._own.figures())))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        except (TimeoutError, OSError):
            pass  # the parent is gone, or stopped

    async def _read(self, reader: asyncio.StreamReader) -> None:
        assert self._writer is not None
        while line := await reader.readline():
            match message := to_worker(line):
                case CountNow():
                    self._writer.write(line_of(Figures(self._own.figures())))
                case Metrics():
                    answer = self._wanted.get(message.id)
                    if answer is not None and not answer.done():
                        answer.set_result(message.text.encode())
                case _:
                    assert_never(message)
