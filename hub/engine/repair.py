"""Repairing the data of an embedded server: what cannot be read is set aside, and never deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from hub.engine.append_log import (
    MANIFEST,
    STATE,
    AppendFile,
    AppendLog,
    ManifestError,
    is_snapshot,
    scan,
)
from hub.engine.binary import find_server
from hub.engine.data_directory import DataDirectory
from hub.errors import EngineError

CHECK_TIMEOUT = 600.0
"""Seconds that the server's own check of a snapshot may take."""


def repair_data(path: str | os.PathLike[str], *, dry_run: bool) -> list[str]:
    """Make the data in a directory such that a server can load it; return what was done.

    Files and ends of files that cannot be read are moved to `set-aside-…` in the directory. With
    `dry_run` nothing is changed. Raises EngineError: the directory is in use, or cannot be written.
    """
    directory = DataDirectory(path)
    if not directory.path.is_dir():
        found = ": it is a file" if directory.path.is_file() else ""
        raise EngineError(f"there is no data directory {directory.path}{found}")
    directory.claim()
    try:
        if not directory.server_lock.acquire():
            raise EngineError(
                f"a store server still uses {directory.path}: end it, then repair its data"
            )
        return _Repair(directory, dry_run=dry_run).run()
    except OSError as error:
        raise EngineError(
            f"the data in {directory.path} cannot be repaired: {error.strerror or error}"
        ) from None
    finally:
        directory.release()


class _Repair:
    """One run over the files of a directory that is claimed."""

    def __init__(self, directory: DataDirectory, *, dry_run: bool) -> None:
        self._directory = directory
        self._log: AppendLog = directory.append_log
        self._dry_run = dry_run
        self._said: list[str] = []
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())

    def run(self) -> list[str]:
        listed = self._listed()
        kept = [file for file in listed if file.kind == "h" or self._readable(file)]
        if kept != listed and self._log.folder.is_dir():
            self._write_manifest(kept)
        if not kept and self._log.remembered() is not None:
            self._move(self._directory.path / STATE, STATE)
            self._say("there is no data any more: the next start begins with nothing")
        elif self._said and not self._dry_run:
            self._log.remember()  # the next start need not warn of what was said here
        return self._said

    def _listed(self) -> list[AppendFile]:
        """The files of the log, from its manifest, or from their names where that is of no use."""
        try:
            return self._log.files()
        except ManifestError as error:
            named = list(self._log.named())
            bases = [file for file in named if file.kind == "b"][-1:]
            files = [*bases, *(file for file in named if file.kind == "i")]
            self._say(f"{error}: made again from the {len(files)} files that are there")
            if self._log.manifest.exists():
                self._move(self._log.manifest, MANIFEST)
            if files:
                self._write_manifest(files)
            return files

    def _readable(self, file: AppendFile) -> bool:
        """Whether anything of the file can be read; what cannot is set aside."""
        path = self._log.path(file)
        if not path.is_file():
            self._say(f"{file.name} is missing: what it held is gone")
            return False
        if path.stat().st_size and is_snapshot(path):
            return self._sound_snapshot(file, path)
        found = scan(path)
        if found.complete:
            return True
        size = path.stat().st_size
        name = self._copy_tail(path, file.name, found.end)
        self._say(
            f"{file.name}: the last {size - found.end} of {size} bytes, after {found.commands} "
            f"whole commands, cannot be read: moved to {name}"
        )
        if not self._dry_run:
            os.truncate(path, found.end)
        return True

    def _sound_snapshot(self, file: AppendFile, path: Path) -> bool:
        server = find_server(self._directory.path)
        # The server is its own check program when it is started under that name.
        done = subprocess.run(  # noqa: S603 - the program that would load the file
            ["valkey-check-rdb", str(path)],  # noqa: S607 - only a name; `executable` is the path
            executable=server.path,
            capture_output=True,
            timeout=CHECK_TIMEOUT,
            check=False,
        )
        if done.returncode == 0 or file.number == 0:  # a single file also holds commands
            return True
        name = self._move(path, file.name)
        self._say(f"{file.name} cannot be read by {server}: moved to {name}; what it held is gone")
        return False

    def _write_manifest(self, files: list[AppendFile]) -> None:
        if self._dry_run:
            return
        partial = self._log.manifest.with_suffix(".partial")
        partial.write_text("".join(file.entry() for file in files), encoding="ascii")
        partial.replace(self._log.manifest)

    def _aside(self, name: str) -> Path:
        return self._directory.path / f"set-aside-{name}-{self._stamp}"

    def _move(self, path: Path, name: str) -> str:
        aside = self._aside(name)
        if not self._dry_run:
            path.replace(aside)
        return aside.name

    def _copy_tail(self, path: Path, name: str, start: int) -> str:
        aside = self._aside(f"end-of-{name}")
        if not self._dry_run:
            with path.open("rb") as source, aside.open("xb") as copy:
                os.fchmod(copy.fileno(), 0o600)
                source.seek(start)
                shutil.copyfileobj(source, copy)
                os.fsync(copy.fileno())
        return aside.name

    def _say(self, sentence: str) -> None:
        self._said.append(sentence)
