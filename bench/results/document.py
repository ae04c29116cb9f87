"""The document that `--json` prints: what was run where, and the reports."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.results.report import Report
from bench.rig.machine import processor
from hub.engine.binary import find_server
from hub.errors import EngineError
from hub.version import VERSION

LIBRARIES = ("websockets", "uvloop", "msgspec", "redis", "uvicorn", "starlette")
"""Libraries whose versions influence the figures."""

_ROOT = Path(__file__).parents[2]


class Failure(Struct, frozen=True):
    """A scenario that could not be run to its end, and why, in one sentence."""

    name: str
    why: str


class Result(Struct, kw_only=True):
    """What a call of the bench found.

    `date` is the RFC 3339 time of its beginning; `commit` that of the checkout, with `-dirty`
    where files were changed, or None outside of one. `cores` are those that the process may use;
    `versions` those of the libraries and of the store's server, None where one is missing.
    """

    date: str
    commit: str | None
    homeport: str
    python: str
    platform: str
    processor: str
    cores: int
    versions: dict[str, str | None]
    reports: list[Report] = []
    failures: list[Failure] = []
    interrupted: bool = False

    @property
    def holds(self) -> bool:
        """Whether all scenarios were run, and all of them hold."""
        return (
            not self.failures
            and not self.interrupted
            and all(report.holds for report in self.reports)
        )

    def as_json(self) -> bytes:
        """As one JSON document; `holds` is part of it, for readers that do not judge."""
        document = msgspec.to_builtins(self)
        for written, report in zip(document["reports"], self.reports, strict=True):
            written["holds"] = report.holds
        return msgspec.json.encode({"holds": self.holds, **document})


def here() -> Result:
    """An empty result of this machine, now."""
    return Result(
        date=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        commit=_commit(),
        homeport=VERSION,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor(),
        cores=_cores(),
        versions={**{name: _version(name) for name in LIBRARIES}, "store": _store()},
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _store() -> str | None:
    try:
        return str(find_server())
    except EngineError:
        return None


def _commit() -> str | None:
    if not (_ROOT / ".git").exists():  # installed, perhaps within another checkout
        return None
    command = ["git", "-C", str(_ROOT)]
    command += ["describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
