"""The server's append-only files (AOF), as the hub checks them before it starts a server on them.

A server of version 7 or newer keeps a base and increments in `appendonlydir/`, with a manifest; an
older one keeps the single file `appendonly.aof`. Where these are missing, a server begins with
nothing and without a word, so the hub remembers in `store.json` what there was.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FOLDER = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"
SINGLE = "appendonly.aof"
STATE = "store.json"

_ENTRY = re.compile(r"file (\S+) seq (\d{1,18}) type ([bhi])(?: .*)?")
_NAMED = re.compile(r"appendonly\.aof\.(\d{1,18})\.(base|incr)\.(aof|rdb)")

Kind = Literal["b", "h", "i"]
"""A base, a file that is history and about to be removed, an increment."""


class ManifestError(Exception):
    """The manifest cannot be read; `str` says why."""


class AppendFile(Struct, frozen=True):
    """One file of the log: its name, its number among those of its kind, and its kind."""

    name: str
    number: int
    kind: Kind

    def entry(self) -> str:
        """The file's line in the manifest."""
        return f"file {self.name} seq {self.number} type {self.kind}\n"


class State(Struct, frozen=True):
    """The sizes in bytes of the files that the server is known to have written, by their names."""

    files: dict[str, int]


class AppendLog:
    """The files of one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / FOLDER
        self.manifest = self.folder / MANIFEST
        self._state = directory / STATE

    def files(self) -> list[AppendFile]:
        """The files that the manifest lists, base first; empty without a folder.

        Raises ManifestError when the folder has no manifest, or one that cannot be read.
        """
        if not self.folder.is_dir():
            single = AppendFile(SINGLE, 0, "i")
            return [single] if (self.directory / SINGLE).is_file() else []
        try:
            lines = self.manifest.read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            if not list(self.named()):
                return []
            raise ManifestError("the manifest is missing") from None
        except (OSError, UnicodeDecodeError):
            raise ManifestError("the manifest cannot be read") from None
        entries = [_ENTRY.fullmatch(line) for line in lines if not line.startswith("#")]
        if not entries or not all(entries):
            raise ManifestError("the manifest is not whole")
        return [
            AppendFile(entry[1], int(entry[2]), entry[3])  # type: ignore[arg-type]
            for entry in entries
            if entry is not None
        ]

    def path(self, file: AppendFile) -> Path:
        """Where the file is."""
        return self.directory / SINGLE if file.name == SINGLE else self.folder / file.name

    def named(self) -> Iterator[AppendFile]:
        """The files that have the names of log files, listed or not: bases first, in order."""
        found = [match for each in self.folder.iterdir() if (match := _NAMED.fullmatch(each.name))]
        for match in sorted(found, key=lambda match: (match[2], int(match[1]))):
            yield AppendFile(match[0], int(match[1]), "b" if match[2] == "base" else "i")

    def missing(self) -> list[str]:
        """Names of files that are listed and not there. Raises ManifestError."""
        return [
            file.name for file in self.files() if file.kind != "h" and not self.path(file).is_file()
        ]

    def sizes(self) -> dict[str, int]:
        """The sizes of all listed files that are there, by name. Raises ManifestError."""
        sizes = {}
        for file in self.files():
            with suppress(OSError):
                sizes[file.name] = self.path(file).stat().st_size
        return sizes

    # --- what is remembered ----------------------------------------------------------------------

    def remembered(self) -> State | None:
        """What the server is known to have written; None for a directory that is new."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return State({})

    def remember(self) -> None:
        """Note that there is data, and how much, for the next start."""
        with suppress(OSError, ManifestError):  # a full disk: what was noted before still holds
            partial = self._state.with_suffix(".partial")
            partial.touch(mode=0o600)
            partial.write_bytes(msgspec.json.encode(State(self.sizes())))
            partial.replace(self._state)

    def problem(self) -> str | None:
        """Why a server would begin without data that there was, or fail; None when it would not."""
        try:
            files = self.files()
            if not files and self.remembered() is not None:
                return f"its append-only files ({FOLDER}) are missing"
            missing = self.missing()
        except ManifestError as error:
            return f"{error} ({FOLDER}/{MANIFEST})"
        return f"{missing[0]} is missing from {FOLDER}" if missing else None

    def shortened(self) -> list[str]:
        """What is known to be gone: a sentence for each file that was longer, or newer, before."""
        state = self.remembered()
        if state is None:
            return []
        sizes = self.sizes()
        said = [
            f"{name} is {state.files[name] - size} bytes shorter than it was"
            for name, size in sizes.items()
            if size < state.files.get(name, 0)
        ]
        newest = max((_number(name) for name in sizes), default=0)
        before = max((_number(name) for name in state.files), default=0)
        if newest < before:
            said.append(f"its files are older than those that were there ({newest} of {before})")
        return said


def _number(name: str) -> int:
    match = _NAMED.fullmatch(name)
    return int(match[1]) if match is not None else 0


class Scan(Struct, frozen=True):
    """How far a file holds whole commands: the bytes, how many, and whether that is all of it."""

    end: int
    commands: int
    complete: bool


def scan(path: Path) -> Scan:
    """Read a file of commands up to its end, or to what is no whole command.

    A transaction counts when its last command is there. Raises OSError.
    """
    with _mapped(path) as data:
        at = end = 0
        commands = whole = 0
        in_transaction = False
        size = len(data)
        while at < size:
            name, after = _command(data, at)
            if after < 0:
                return Scan(end, whole, False)
            at = after
            commands += name != b""
            if name == b"MULTI":
                in_transaction = True
            elif name == b"EXEC":
                in_transaction = False
            if not in_transaction:
                end, whole = at, commands
        return Scan(end, whole, end == size)


def is_snapshot(path: Path) -> bool:
    """Whether a base is in the server's own binary form, which only a server can check."""
    with path.open("rb") as file:
        return file.read(6).startswith((b"REDIS", b"VALKEY"))


def _command(data: bytes | mmap.mmap, at: int) -> tuple[bytes, int]:
    """The name of the command at `at` ("" for a note), and where it ends, -1 if it is not whole."""
    if data[at : at + 1] == b"#":
        line = data.find(b"\r\n", at, at + 1024)
        return b"", line + 2 if line >= 0 else -1
    count, at = _length(data, at, b"*")
    if at < 0 or count < 1:
        return b"", -1
    name = b""
    for index in range(count):
        size, at = _length(data, at, b"$")
        if at < 0 or data[at + size : at + size + 2] != b"\r\n":
            return b"", -1
        if index == 0:
            name = bytes(data[at : at + min(size, 16)]).upper()
        at += size + 2
    return name, at


def _length(data: bytes | mmap.mmap, at: int, sign: bytes) -> tuple[int, int]:
    line = data.find(b"\r\n", at, at + 32)
    digits = data[at + 1 : line]
    if line < 0 or data[at : at + 1] != sign or not digits.isdigit() or len(digits) > 12:
        return 0, -1
    return int(digits), line + 2


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
