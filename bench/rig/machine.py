"""What this machine allows, and what its processes use."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from hub.net.open_files import raise_open_file_limit

SPARE_FILES = 100  # open files that a process needs besides its connections
PORTS_OF_ONE_ADDRESS = 20_000
"""Outgoing connections that one source address is trusted with; systems allow 16,000 to 28,000."""


class Usage(Struct, frozen=True):
    """What a process uses: resident bytes, and the seconds of CPU that it has had."""

    memory: int
    cpu: float


def usage(pid: int) -> Usage:
    """What this process has used until now."""
    if Path("/proc/self/stat").exists():
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Usage(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))
    told = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "rss=,time=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    memory, time = told.stdout.split()
    cpu = 0.0
    for part in time.split(":"):
        cpu = cpu * 60 + float(part)
    return Usage(int(memory) * 1024, cpu)


def open_files(pid: int) -> int:
    """How many files this process has open, on Linux; 0 where that is not known."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """All descendants of this process, on Linux."""
    try:
        direct = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return direct + [grandchild for child in direct for grandchild in children(child)]


def is_store(pid: int) -> bool:
    """Whether this process is a store server that a hub started."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(("valkey", "redis"))
    except OSError:
        return False


def busy_time() -> float:
    """Seconds of CPU of all programs since the system began; 0 where it is not known."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, irq, softirq = map(int, first[1:8])
    # Processes are charged for the interrupts that they cause, as those of sockets are.
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Others:
    """What programs use that are neither this one nor any that it started, from now on."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._used()

    def share(self) -> float | None:
        """Cores that the others used since; None where that is not known.

        Everything that this program started must have ended and been waited for.
        """
        if not busy_time():
            return None
        used = self._used() - self._before
        return max(0.0, used / (time.monotonic() - self._began))

    @staticmethod
    def _used() -> float:
        """Seconds of CPU of the others until now."""
        times = os.times()
        return busy_time() - sum((times.user, times.system, *times[2:4]))


def connections_per_process() -> int:
    """How many connections one process may hold here, once it has raised its limit."""
    return max(1, raise_open_file_limit() - SPARE_FILES)


def source_address(number: int) -> str | None:
    """The address from which the connection of this number is to come; None for the usual one.

    Only Linux has every address of 127.0.0.0/8 without configuration.
    """
    if sys.platform != "linux" or number < PORTS_OF_ONE_ADDRESS:
        return None
    return f"127.0.0.{2 + number // PORTS_OF_ONE_ADDRESS}"


def processor() -> str:
    """What kind of processor this machine has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
