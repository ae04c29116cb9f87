"""The engine as the hub sees it: start, a URL that stays valid, stop."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from urllib.parse import quote

from hub.engine.binary import ServerBinary, find_server
from hub.engine.data_directory import DataDirectory
from hub.engine.server_process import ServerProcess, launch
from hub.errors import EngineError
from hub.restarts import Restarter
from hub.telemetry import logs

LEFTOVER_TIMEOUT = 10.0
"""Seconds that the server of a killed hub gets to end."""

CHECK_INTERVAL = 60.0
"""Seconds between two checks of the log's size and of the socket."""

logger = logs.get("engine")


class EmbeddedEngine:
    """A private store server for this hub, with its data in `data_dir`.

    At most one hub uses a data directory, and at most one server ever writes its data. A server
    that ends by itself is started again at the same URL. Data that the server has accepted survives
    the end of the server and of the hub; only the last second or two may be lost when the server is
    killed while the disk is slow, or when the whole machine fails.
    """

    def __init__(self, data_dir: str | os.PathLike[str]) -> None:
        self._directory = DataDirectory(data_dir)
        self._server: ServerProcess | None = None
        self._watching: asyncio.Task[None] | None = None
        self.warnings: list[str] = []
        """Sentences on data that was found cut when the server started."""

    @property
    def pid(self) -> int | None:
        """The server's process id; None while no server runs."""
        return None if self._server is None else self._server.pid

    async def start(self) -> str:
        """Start the server; return its URL (`unix://…`) once it serves.

        Raises EngineError (no server program, directory in use or not writable, data not readable),
        and leaves nothing running then.
        """
        if sys.platform == "win32":
            raise EngineError(
                "the embedded engine needs Linux or macOS: give --redis redis://HOST:PORT, or "
                "--redis memory:// to keep nothing"
            )
        try:
            self._directory.claim()
            binary = await self._launch()
        except OSError as error:  # what may fail for another reason has been told already
            self._directory.release()
            raise self._unwritable(error) from None
        except BaseException:
            self._directory.release()
            raise
        logger.info("store engine started", server=str(binary), directory=str(self._directory.path))
        self._watching = asyncio.create_task(self._watch(), name="store engine")
        return f"unix://{quote(str(self._directory.socket))}"

    async def stop(self) -> None:
        """Stop the server, which writes out all accepted data, and release the directory.

        May be called at any time and more than once; takes at most about 7 seconds.
        """
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        if self._server is not None:
            await self._server.stop()
            self._server = None
            self._directory.append_log.remember()
            logger.info("store engine stopped", directory=str(self._directory.path))
        self._directory.release()

    def _unwritable(self, error: OSError) -> EngineError:
        why = (error.strerror or str(error)).lower()
        remedy = "free space there, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return EngineError(
            f"cannot write to the data directory {self._directory.path}: {why}; {remedy}give "
            "another one with --data-dir"
        )

    async def _launch(self) -> ServerBinary:
        directory = self._directory
        try:
            await directory.claim_server(LEFTOVER_TIMEOUT)
            # Searched each time: an upgrade may have moved the program while the hub was running.
            binary = await asyncio.to_thread(find_server, directory.path)
            directory.refuse_older_server(binary.version)
            cut = directory.refuse_missing_data()
            before = directory.append_log.sizes()
            self._server = await launch(binary, directory)
            cut += self._cut_at_start(before)
            directory.append_log.remember()
        finally:
            directory.server_lock.release()  # the server holds it now, if it runs
        for sentence in cut:
            logger.warning(sentence)
        self.warnings += cut
        return binary

    def _cut_at_start(self, before: dict[str, int]) -> list[str]:
        """What the server cut off its files because a command at their end was not whole."""
        after = self._directory.append_log.sizes()
        return [
            f"the data in {self._directory.path} was cut: the last {size - after[name]} bytes of "
            f"{name} were no whole command, and are gone"
            for name, size in before.items()
            if after.get(name, size) < size
        ]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        restarter = Restarter(self._launch, logger, "store engine could not be started again")
        while True:
            started_at = loop.time()
            assert self._server is not None
            status = await self._service(self._server)
            self._server = None
            logger.error(
                "store engine ended by itself; starting it again",
                status=status,
                last_words=self._directory.log_tail(0, lines=1),
            )
            await restarter.restart(loop.time() - started_at)
            logger.warning("store engine started again")

    async def _service(self, server: ServerProcess) -> int:
        """Wait for the server's end, with regular checks meanwhile; return its exit status."""
        ended = asyncio.ensure_future(server.exited())
        try:
            while True:
                await asyncio.wait([ended], timeout=CHECK_INTERVAL)
                if ended.done():
                    return ended.result()
                self._directory.rotate_log()
                self._directory.append_log.remember()
                if not self._directory.socket.exists():
                    logger.error("the store engine's socket was removed; starting the engine again")
                    await server.stop()
        finally:
            ended.cancel()
