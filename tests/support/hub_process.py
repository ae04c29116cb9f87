"""Hubs as processes: started by the command that users type, watched through what they print."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.bound import bound
from tests.support.wire import LIMIT, Wire

START_LIMIT = 30.0
_FOREIGN = re.compile(r"HOMEPORT_|REDIS_|PORT$|.*_proxy$", re.IGNORECASE)


def program() -> list[str]:
    """The command `homeport` of this environment."""
    script = Path(sys.executable).with_name("homeport")
    assert script.is_file(), f"{script} is missing: install the project first"
    return [str(script)]


def environment(home: Path, **extra: str) -> dict[str, str]:
    """This environment without anything that would steer a hub."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), **extra}


def new_namespace() -> str:
    return f"t-{uuid.uuid4().hex}"


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until(condition: Callable[[], Any], within: float = LIMIT) -> Any:
    """Ask until the answer is true and return it; an AssertionError when time is up."""
    limit = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < limit, f"not within {within} s: {condition}"
        time.sleep(0.02)


class Hub:
    """One `homeport serve`. Options are its flags; `port` is 0 unless an option says otherwise."""

    def __init__(
        self, directory: Path, *options: str, env: dict[str, str] | None = None, port: bool = True
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._command = [*program(), "serve", *(["--port", "0"] if port else []), *options]
        self._env = environment(directory, **(env or {}))
        self._log = directory / f"hub-{uuid.uuid4().hex[:8]}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.line = ""
        self.url = ""

    def start(self) -> Hub:
        """Start, and wait for the line with the URL; when it fails, the error shows the log."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                bound(self._command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
                cwd=self.directory,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        said = b""
        limit = time.monotonic() + START_LIMIT
        while b"\n" not in said:
            ready, _, _ = select.select([descriptor], [], [], max(limit - time.monotonic(), 0))
            data = os.read(descriptor, 4096) if ready else b""
            assert data, f"the hub does not say that it listens; its log:\n{self.log()}"
            said += data
        self.line = said.decode()
        found = re.search(r"http://[0-9.]+:[0-9]+", self.line)
        assert found is not None, self.line
        self.url = found[0]
        return self

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def kill(self) -> None:
        """kill -9 of the hub process alone."""
        self.signal(signal.SIGKILL)
        self.wait(LIMIT)

    def stop(self) -> None:
        """End the process whatever state it is in; gracefully where that works."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running_hub(directory: Path, *options: str, **more: Any) -> Iterator[Hub]:
    """A hub that runs while entered, as `Hub` takes it; it must never have logged a traceback."""
    hub = Hub(directory, *options, **more)
    try:
        yield hub.start()
    finally:
        hub.stop()
    assert "Traceback" not in hub.log(), hub.log()


class Place:
    """One namespace of one hub, with the means to reach it; ends its connections itself."""

    def __init__(self, hub: Hub, namespace: str | None = None) -> None:
        self.hub = hub
        self.namespace = namespace
        self.wires: list[Wire] = []
        self.http = requests.Session()
        self.http.trust_env = False
        if namespace is not None:
            self.http.headers["Homeport-Namespace"] = namespace

    @property
    def prefix(self) -> str:
        """What goes before the keys of this namespace."""
        return "" if self.namespace is None else f"{{{self.namespace}}}:"

    def connect(self, **options: Any) -> Wire:
        options.setdefault("namespace", self.namespace)
        wire = Wire(self.hub.url, **options)
        self.wires.append(wire)
        return wire

    def agent(self, name: str = "a", **fields: Any) -> tuple[Wire, dict[str, Any]]:
        """A new connection and its registration."""
        wire = self.connect()
        return wire, wire.register(name, **fields)

    def watcher(self, filter: dict[str, Any] | None = None) -> Wire:
        """A new connection that watches and has taken its snapshot."""
        wire = self.connect()
        wire.watch(filter)
        wire.snapshot()
        return wire

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", LIMIT)
        return self.http.request(method, self.hub.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def register(self, **changes: Any) -> str:
        """Register over HTTP; returns the id."""
        body = {"name": "h", "type": "cost", "host": "h.example", "port": 1, **changes}
        response = self.post("/agents/register", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["agent_id"])

    def record(self, agent_id: str) -> dict[str, Any] | None:
        """An agent's record over HTTP; None when there is none."""
        response = self.get(f"/agents/{agent_id}")
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        record: dict[str, Any] = response.json()
        return record

    def end(self) -> None:
        for wire in self.wires:
            wire.drop()
        self.http.close()
