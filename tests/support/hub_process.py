"""Hubs as processes: started by the command that users type, watched through what they print."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.programs import Program, environment, homeport
from tests.support.waiting import LIMIT
from tests.support.wire import Wire


def new_namespace() -> str:
    return f"t-{uuid.uuid4().hex}"


class Hub(Program):
    """One `homeport serve`. Options are its flags; `port` is 0 unless an option says otherwise."""

    def __init__(
        self, directory: Path, *options: str, env: dict[str, str] | None = None, port: bool = True
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [*homeport(), "serve", *(["--port", "0"] if port else []), *options],
            directory / f"hub-{uuid.uuid4().hex[:8]}.log",
            cwd=directory,
            env=environment(directory, **(env or {})),
        )
        self.directory = directory
        self.line = ""
        self.url = ""

    def start(self) -> Hub:
        """Start, and wait for the line with the URL; when it fails, the error shows the log."""
        self.launch()
        self.line = self.read_line()
        found = re.search(r"https?://[0-9.]+:[0-9]+", self.line)
        assert found is not None, self.line
        self.url = found[0]
        return self

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def running_hub(directory: Path, *options: str, **more: Any) -> Iterator[Hub]:
    """A hub that runs while entered, as `Hub` takes it; it must never have logged a traceback."""
    hub = Hub(directory, *options, **more)
    try:
        yield hub.start()
    finally:
        hub.end()
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

    def listed(self) -> dict[str, dict[str, Any]]:
        """The records that this hub's directory has, by name.

        To wait for what another hub did: `record` asks the store, and is ahead of watches.
        """
        agents: list[dict[str, Any]] = self.get("/agents").json()["agents"]
        return {agent["name"]: agent for agent in agents}

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
