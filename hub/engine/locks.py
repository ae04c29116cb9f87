"""Advisory file locks, which the kernel releases when the last holder has ended."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from hub.errors import EngineError

if sys.platform != "win32":
    import fcntl


class FileLock:
    """An exclusive lock on a file; the file's text describes the holder.

    The lock belongs to the open file, not to the process: a child that inherits the descriptor
    continues to hold it. The file is never removed, because two processes could then lock two
    different files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it.

        Raises EngineError when the file cannot be created, or its file system has no locks.
        """
        if sys.platform == "win32":
            raise EngineError("file locks need Linux or macOS")
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EngineError(
                f"cannot open {self.path}: {error.strerror}; give another directory with --data-dir"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise EngineError(
                f"cannot lock {self.path}: {error.strerror}; "
                "give a directory on a local disk with --data-dir"
            ) from None
        self._file = file
        return True

    @property
    def descriptor(self) -> int:
        """The descriptor of the open file, for a child to inherit; only while locked."""
        assert self._file is not None
        return self._file

    def write(self, text: str) -> None:
        """Describe the holder; only while locked."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)

    def read(self) -> str:
        """The description of the holder, or of the last one; empty when there was none."""
        try:
            return self.path.read_text(errors="replace").strip()
        except OSError:
            return ""

    def release(self) -> None:
        """Close the descriptor; the lock lasts while a child still has it open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
