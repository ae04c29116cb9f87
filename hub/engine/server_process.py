"""The process of the store server, and its guard."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hub.engine.binary import ServerBinary
from hub.engine.data_directory import DataDirectory
from hub.engine.guard import PATIENCE
from hub.errors import EngineError
from hub.telemetry import logs

GUARD = str(Path(__file__).with_name("guard.py"))

ANSWER_TIMEOUT = 30.0
"""Seconds without any answer from a starting server; "loading" is an answer."""

LOADING_INTERVAL = 10.0
"""Seconds between two log lines while a server loads its data."""

MIN_FREE = 64 * 1024
"""Bytes on a disk; with less than that, it is full."""

logger = logs.get("engine")


class ServerProcess:
    """A running server: its process id, its end, and how to stop it."""

    def __init__(
        self, guard: subprocess.Popen[bytes], pipe: int, status: asyncio.StreamReader, name: str
    ) -> None:
        self.name = name
        self.pid = 0
        self._guard = guard
        self._pipe: int | None = pipe
        self._named: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.create_task(self._watch_guard(status), name="store engine guard")

    async def named(self) -> None:
        """Wait until `pid` is known; it stays 0 when the server could not be started."""
        await asyncio.shield(self._named)

    async def exited(self) -> int:
        """Wait until the server has ended; return its exit status (128 + N for signal N)."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Stop the server, which writes out all accepted data. Takes at most about 7 seconds."""
        self._close_pipe()
        try:
            async with asyncio.timeout(PATIENCE + 2):
                await self.exited()
        except TimeoutError:  # the guard itself is suspended
            self._guard.kill()
            await self.exited()

    async def _watch_guard(self, status: asyncio.StreamReader) -> int:
        line = await status.readline()
        self.pid = int(line) if line.strip().isdigit() else 0
        self._named.set_result(None)
        while await status.read(64):
            pass
        # The guard has closed its output, so it is exiting: this wait is short.
        while (code := self._guard.poll()) is None:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.002)
        self._close_pipe()
        return code if code >= 0 else 128 - code

    def _close_pipe(self) -> None:
        """Close the pipe, on which the guard stops the server."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


async def launch(binary: ServerBinary, directory: DataDirectory) -> ServerProcess:
    """Start the server in a directory whose `server_lock` is held, and wait until it serves.

    Waits while the server loads its data, which may take long. Afterwards only the server holds the
    lock, also when this fails. Raises EngineError with the end of the server's log.
    """
    directory.rotate_log()
    start = directory.log_size()
    try:
        server = await _spawn(binary, directory)
    finally:
        directory.server_lock.release()
    try:
        await server.named()
        await _wait_until_ready(server, directory, start)
    except BaseException:
        await server.stop()
        raise
    return server


async def _spawn(binary: ServerBinary, directory: DataDirectory) -> ServerProcess:
    lock = directory.server_lock.descriptor
    read_end, write_end = os.pipe()
    try:
        # The guard, and the server before it has opened its log, write errors to the same file.
        with _private_log(directory.log) as complaints:
            guard = subprocess.Popen(  # noqa: S603, ASYNC220 - returns in about a millisecond
                [
                    sys.executable,
                    *("-I", "-S", GUARD, str(lock), str(directory.path)),
                    *(binary.path, *_options(directory)),
                ],
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=complaints,
                pass_fds=(lock,),
                start_new_session=True,
            )
    except OSError as error:
        os.close(write_end)
        raise EngineError(
            f"the embedded engine cannot be started in {directory.path}: {error.strerror or error}"
        ) from None
    finally:
        os.close(read_end)
    status = asyncio.StreamReader()
    try:
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(status), guard.stdout
        )
    except BaseException:
        os.close(write_end)  # on which the guard ends, and the server with it
        raise
    return ServerProcess(guard, write_end, status, str(binary))


def _private_log(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _options(directory: DataDirectory) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(directory.socket),
        "unixsocketperm": "700",
        "dir": str(directory.path),
        "daemonize": "no",
        "databases": "1",
        "logfile": str(directory.log),
        "loglevel": "notice",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        # An evicted agent would vanish silently; a refused write is reported.
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


async def _wait_until_ready(server: ServerProcess, directory: DataDirectory, start: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.ensure_future(server.exited())
    heard = news = loop.time()
    pause = 0.005
    try:
        while True:
            answer = await _ask(directory.socket)
            now = loop.time()
            if answer.startswith(b"+PONG"):
                return
            if answer:
                heard = now
            if ended.done():
                raise _failure(server, directory, start, f"ended with status {ended.result()}")
            if now - heard > ANSWER_TIMEOUT:
                raise _failure(server, directory, start, f"gave no answer for {ANSWER_TIMEOUT:g} s")
            if now - news > LOADING_INTERVAL:
                news = now
                logger.info("the store engine still loads its data", directory=str(directory.path))
            await asyncio.wait([ended], timeout=pause)
            pause = min(pause * 1.5, 0.2)
    finally:
        ended.cancel()


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return MIN_FREE


async def _ask(path: Path) -> bytes:
    """The first line of the answer to one PING; empty without an answer."""
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline()
            finally:
                writer.close()
    return b""


def _failure(server: ServerProcess, directory: DataDirectory, start: int, what: str) -> EngineError:
    said = directory.log_tail(start)
    if "No space left" in said or _free_bytes(directory.path) < MIN_FREE:
        return EngineError(
            f"the embedded engine ({server.name}) did not start: the disk of {directory.path} is "
            "full; free space there, or give another directory with --data-dir"
        )
    last_words = f"; its last words: {said}" if said else ""
    data = f"; `homeport repair --data-dir {directory.path}` checks the data"
    return EngineError(
        f"the embedded engine ({server.name}) did not start: it {what}{last_words} "
        f"(all that it said is in {directory.log})"
        f"{data if directory.append_log.remembered() is not None else ''}"
    )
