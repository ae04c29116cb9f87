"""Advisory locks on files, which the kernel releases when the last holder is gone."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from hub.errors import EngineError

if sys.platform != "win32":
    import fcntl


class FileLock:
    """An exclusive lock on a file; the file's text says something about the holder.

    The lock belongs to the open file, not to the process: a child that inherits the descriptor
    goes on holding it. The file itself stays, because removing it would let two processes lock
    two different files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """True when the lock is ours from now on, False when someone holds it.

        Raises EngineError when the file cannot be made or its disk knows no locks.
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
        """The open file, to be inherited by a child; only while the lock is held."""
        assert self._file is not None
        return self._file

    def write(self, text: str) -> None:
        """Say something about the holder; only while the lock is held."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)

    def read(self) -> str:
        """What the holder, or the last one, said; empty when nothing was said yet."""
        try:
            return self.path.read_text(errors="replace").strip()
        except OSError:
            return ""

    def let_go(self) -> None:
        """Close our descriptor; the lock lasts while a child still has it open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
