"""Real servers for the tests, each private: on a unix socket in a directory of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.redis_servers import find_program

START_LIMIT = 20.0


# The shell holds a pipe from the tests and ends the server with them, also when they are killed.
GUARD = '"$@" & echo $!; exec >/dev/null; read _; kill -9 $! 2>/dev/null'


class RealServer:
    """One server process; it may be stopped, killed and started again, and keeps nothing."""

    def __init__(self, *settings: str) -> None:
        # Short: a unix socket's path has about 100 characters at most, on macOS too.
        self.directory = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        self.path = self.directory / "s"
        self.url = f"unix://{self.path}"
        self.settings = settings
        self._guard: subprocess.Popen[bytes] | None = None
        self._server = 0

    def command(self) -> list[str]:
        """The program and its arguments."""
        return [
            *(find_program(), "--port", "0", "--unixsocket", str(self.path)),
            *("--save", "", "--appendonly", "no", "--dir", str(self.directory)),
            *("--logfile", str(self.directory / "log"), *self.settings),
        ]

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "sh", *self.command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert guard.stdout is not None
        self._guard, self._server = guard, int(guard.stdout.readline())
        limit = time.monotonic() + START_LIMIT
        while not self._listens():
            assert time.monotonic() < limit, (self.directory / "log").read_text()
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
        return True

    def kill(self) -> None:
        assert self._guard is not None
        os.kill(self._server, signal.SIGKILL)
        self._guard.communicate()
        self._guard = None

    def suspend(self) -> None:
        os.kill(self._server, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self._server, signal.SIGCONT)

    def remove(self) -> None:
        if self._guard is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class DeafServer:
    """Listens and takes everything in, and never says a word."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        self.url = f"unix://{self.directory / 's'}"
        self.heard = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._listen, self.directory / "s")

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                self.heard.set()
        finally:
            writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        shutil.rmtree(self.directory, ignore_errors=True)
