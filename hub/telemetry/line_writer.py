"""Lines for a file or a pipe, written by a thread, so that no disk ever holds up the event loop."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

STDOUT = "-"
"""What stands for standard output where a file is named."""

MAX_WAITING = 8 * 1024 * 1024
"""Bytes of lines that wait to be written; those that come beyond it are lost, and counted."""

RETRY = 1.0
"""Seconds until a write that failed is tried again."""

SYNC_INTERVAL = 1.0
"""Seconds in which what was written to a file is on its disk."""

FILE_CHUNK = 64 * 1024
PIPE_CHUNK = 4096
"""Bytes of one write. What several processes write to a pipe is mixed beyond that (PIPE_BUF)."""


class LineWriter:
    """Appends whole lines; several processes may append to one file.

    `target` is the path of a file, which is made for its owner only, or a file descriptor.
    `failed` is called in the writer's thread when writing fails, with why, and with None when it
    goes on. Call `close` in the end.
    """

    def __init__(
        self,
        target: str | int,
        failed: Callable[[str | None], None],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._target = target
        self._failed = failed
        self._max_waiting = max_waiting
        self._condition = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        """Bytes that were put and are not written."""
        self._reopening = False
        self._closing = False
        self._failing = False
        self._torn = False
        """Whether the file ends in a part of a line."""
        self._unsynced_since: float | None = None
        self._fd = -1
        self._is_file = False
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)

    def start(self) -> None:
        """Open the target, and write from now on. Raises OSError."""
        self._open()
        self._thread.start()

    def put(self, line: bytes) -> bool:
        """Have a line written, which has no end of line; False if too many wait: it is lost."""
        size = len(line) + 1
        with self._condition:
            if self._waiting + size > self._max_waiting:
                return False
            self._lines.append(line)
            self._waiting += size
            self._condition.notify()
        return True

    def reopen(self) -> None:
        """Close the file and open it by its name again: it may have been renamed."""
        with self._condition:
            self._reopening = True
            self._condition.notify()

    def close(self, timeout: float) -> int:
        """Write what waits, for so many seconds at most; returns the bytes that were not written.

        Blocks.
        """
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout)
        return self._waiting

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._lines or self._reopening or self._closing or self._sync_due()):
                    self._condition.wait(self._until_sync())
                reopening, self._reopening = self._reopening, False
            if reopening:
                self._try(self._reopen)
            while self._lines and self._try(self._write_some):
                pass
            if self._sync_due() or self._closing:
                self._try(self._sync)
            if self._closing and (self._failing or not self._lines):
                os.close(self._fd)
                return
            if self._failing:
                with self._condition:
                    if not self._closing:
                        self._condition.wait_for(lambda: self._closing or self._reopening, RETRY)

    def _try(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except OSError as error:
            self._failing = True
            self._failed(error.strerror or str(error))
            return False
        if self._failing:
            self._failing = False
            self._failed(None)
        return True

    def _write_some(self) -> None:
        """Write lines in one piece, as many as fit in a chunk."""
        if self._torn:
            os.write(self._fd, b"\n")
            self._torn = False
        lines = list(self._next_lines())
        data = b"\n".join(lines) + b"\n"
        written = os.write(self._fd, data)
        if self._is_file and self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
        whole = len(lines) if written == len(data) else data.count(b"\n", 0, written)
        self._torn = written < len(data) and not data[:written].endswith(b"\n") and written > 0
        with self._condition:
            for _ in range(whole):
                self._waiting -= len(self._lines.popleft()) + 1

    def _next_lines(self) -> Iterator[bytes]:
        room = FILE_CHUNK if self._is_file else PIPE_CHUNK
        with self._condition:
            for number, line in enumerate(self._lines):
                room -= len(line) + 1
                if room < 0 and number:
                    return
                yield line

    def _reopen(self) -> None:
        if isinstance(self._target, int):
            return
        old = self._fd
        self._sync()
        self._open()  # when that fails, the old one stays
        self._torn = False
        os.close(old)

    def _open(self) -> None:
        if isinstance(self._target, int):
            self._fd = os.dup(self._target)
        else:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
            self._fd = os.open(self._target, flags, 0o600)
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)

    def _sync(self) -> None:
        if self._unsynced_since is not None:
            self._unsynced_since = None
            os.fsync(self._fd)

    def _sync_due(self) -> bool:
        since = self._unsynced_since
        return since is not None and time.monotonic() - since >= SYNC_INTERVAL

    def _until_sync(self) -> float | None:
        since = self._unsynced_since
        return None if since is None else max(0.0, since + SYNC_INTERVAL - time.monotonic())
