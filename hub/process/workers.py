"""Several hub processes, the workers, behind one port: `homeport serve --workers N`.

The parent process serves no requests. It reserves the port, runs the embedded engine, and starts
the workers. Each worker is a hub with its own id and its own sockets on the port; the kernel
spreads connections among them. A worker that ends is started again. When the parent ends, the
kernel kills the workers, and the engine's guard stops the engine.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

from msgspec import structs

from hub.engine import EmbeddedEngine
from hub.errors import HubError, RivalError
from hub.net.sockets import release, reserve, url_of
from hub.process.reload import reload_settings
from hub.process.service import STOP_TIMEOUT, serve
from hub.process.worker_handle import WorkerHandle
from hub.restarts import Restarter
from hub.settings import Settings, Source, compare, describe, worker_id
from hub.telemetry import logs
from hub.telemetry.figures import Family, added_up, as_text, grown, worker_up
from hub.version import VERSION

PATIENCE = STOP_TIMEOUT + 1.0
"""Seconds that the stop of all may take: longer than a worker's, which is waited for."""

logger = logs.get("workers")


def run(settings: Settings, announce: Callable[[str], None], source: Source) -> int:
    """Run the workers until a signal ends them; return the exit status.

    `announce` is called with one line that has the URL, once all of them listen. The settings are
    read again from `source` on SIGHUP, here and in every worker. Raises HubError when one cannot
    start. A second signal ends all processes at once.
    """
    if not sys.platform.startswith("linux"):
        raise HubError(
            "several workers need Linux, where the kernel spreads connections among processes; "
            "leave out --workers, or run several hubs on ports of their own"
        )

    async def main() -> int:
        return await serve(Workers(settings, source), announce, patience=PATIENCE)

    logs.configure(settings.log_format, settings.log_level)
    return asyncio.run(main())


class _Slot:
    """One worker's slot: its settings, and the process that has it now."""

    def __init__(
        self, settings: Settings, source: Source, *, embedded: bool, warnings: Sequence[str]
    ) -> None:
        self.settings = settings
        self.source = source
        self.embedded = embedded
        self.warnings = warnings
        self.process: WorkerHandle | None = None
        self.serves = False
        self.ended: list[Family] = []
        """What remains of the figures of processes that have ended."""

    async def start(self, metrics: Callable[[], Awaitable[str]]) -> None:
        """Start a process, and wait until it serves. Raises WorkerError."""
        self.serves = False
        self.process = process = await WorkerHandle.start(
            self.settings, self.source, embedded=self.embedded, warnings=self.warnings
        )
        try:
            await process.listening(metrics)
        except BaseException:
            await process.kill()
            raise
        self.serves = True

    def count_ended(self) -> None:
        """The process has ended: keep what it counted."""
        if self.process is not None:
            self.ended = added_up([self.ended, grown(self.process.latest)])
            self.process.latest = []  # not to be counted twice

    async def figures(self) -> tuple[bool, list[Family]]:
        """Whether the worker answers, and its figures with those of its predecessors.

        Of a worker that does not answer, what it had counted last.
        """
        figures = None
        if self.process is not None and self.serves:
            figures = await self.process.figures()
        if figures is not None:
            return True, added_up([figures, self.ended])
        last = [] if self.process is None else grown(self.process.latest)
        return False, added_up([last, self.ended])


class Workers:
    """The workers and what they share, with the order of start and stop. Needs a running loop."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._held: list[socket.socket] = []
        self._engine: EmbeddedEngine | None = None
        self._slots: list[_Slot] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[HubError] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """Reserve the port, start the engine and all workers; return the URL when all listen.

        Raises HubError with one plain sentence, and leaves nothing running then.
        """
        settings = self._settings
        logger.info("starting", version=VERSION, **describe(settings))
        self._held = await reserve(settings.host, settings.port)
        host, port = self._held[0].getsockname()[:2]
        try:
            redis = settings.redis
            if redis is None:
                self._engine = EmbeddedEngine(settings.data_dir)
                redis = await self._engine.start()
            self._slots = [
                _Slot(
                    structs.replace(
                        settings,
                        port=port,
                        redis=redis,
                        workers=1,
                        hub_id=worker_id(settings.hub_id, number),
                    ),
                    self._source,
                    embedded=self._engine is not None,
                    warnings=[] if self._engine is None else self._engine.warnings,
                )
                for number in range(1, settings.workers + 1)
            ]
            await asyncio.gather(*(slot.start(self._metrics) for slot in self._slots))
        except BaseException:
            await self._end()
            raise
        self._tasks = [asyncio.create_task(self._keep_running(slot)) for slot in self._slots]
        url = url_of(host, port, tls=settings.tls_cert is not None)
        logger.info("all workers listen", url=url, workers=settings.workers)
        return url

    async def failure(self) -> HubError:
        """Wait until a worker has ended that must not be started again; return the reason."""
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop every worker gracefully, and then the engine."""
        logger.info("stopping", workers=len(self._slots))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._end()
        logger.info("stopped")

    def reload(self) -> None:
        """Read the settings again, and have every worker do so; one that restarts has them too."""
        self._settings = settings = reload_settings(self._settings, self._source)
        for slot in self._slots:
            slot.settings = compare(slot.settings, settings).settings
        self._signal_all(signal.SIGHUP)

    def report(self) -> None:
        """Log which workers there are, and have each of them log where it is."""
        processes = [slot.process for slot in self._slots if slot.process is not None]
        logger.info(
            "report",
            workers=[process.pid for process in processes],
            engine=None if self._engine is None else self._engine.pid,
        )
        self._signal_all(signal.SIGUSR1)

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            # One that still starts has no handlers yet, and would end of it.
            if slot.process is not None and slot.serves:
                slot.process.signal(number)

    async def _metrics(self) -> str:
        """The metrics of all workers as one, for the worker that was asked for them."""
        told = await asyncio.gather(*(slot.figures() for slot in self._slots))
        answers = {
            slot.settings.hub_id: answered
            for slot, (answered, _) in zip(self._slots, told, strict=True)
        }
        figures = added_up(figures for _, figures in told)
        return as_text([*figures, worker_up(answers)]).decode()

    async def _end(self) -> None:
        processes = [slot.process for slot in self._slots if slot.process is not None]
        await asyncio.gather(*(process.stop() for process in processes))
        if self._engine is not None:
            await self._engine.stop()
        release(self._held)

    async def _keep_running(self, slot: _Slot) -> None:
        """Start the worker again whenever it ends, unless another hub uses its id."""
        loop = asyncio.get_running_loop()
        hub_id = slot.settings.hub_id
        restarter = Restarter(
            lambda: slot.start(self._metrics),
            logger.bind(worker=hub_id),
            "worker could not be started again",
        )
        while True:
            started_at = loop.time()
            assert slot.process is not None
            status = await slot.process.ended()
            why = await slot.process.last_words()
            slot.serves = False
            slot.count_ended()
            if why is not None:
                logger.error("worker ended for good", worker=hub_id, reason=why)
                if not self._failure.done():
                    self._failure.set_result(RivalError(why))
                return
            if status == 0:  # it was sent SIGTERM
                logger.info("worker handed over and ended; starting it again", worker=hub_id)
            else:
                logger.error(
                    "worker ended by itself; starting it again", worker=hub_id, status=status
                )
            await restarter.restart(loop.time() - started_at)
            logger.warning("worker started again", worker=hub_id, pid=slot.process.pid)
