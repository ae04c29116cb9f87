"""Ways in which a store fails, and the scene in which it does: a hub, agents, a watcher."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from tests.support.hub_process import Hub, Place, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import wait_until

SOON = 3.0
"""Seconds allowed for what the contract wants within one: the machine may be busy."""


class Fault:
    """One way in which a store is away, and comes back."""

    def __init__(
        self, begin: Callable[[RedisServer], Any], end: Callable[[RedisServer], Any]
    ) -> None:
        self.begin = begin
        self.end = end


def start_empty(server: RedisServer) -> None:
    server.forget()
    server.start()


FAULTS = {
    "killed": Fault(RedisServer.kill, RedisServer.start),
    "stopped": Fault(RedisServer.suspend, RedisServer.wake),
    "read-only": Fault(
        lambda server: server.client.execute_command("REPLICAOF", "127.0.0.1", "1"),
        lambda server: server.client.execute_command("REPLICAOF", "NO", "ONE"),
    ),
    "full": Fault(
        lambda server: server.client.config_set("maxmemory", "1mb"),
        lambda server: server.client.config_set("maxmemory", "0"),
    ),
    "killed and empty": Fault(RedisServer.kill, start_empty),
}
KEEPS_DATA = [name for name in FAULTS if name != "killed and empty"]


class Scene:
    """A hub on the test's private store, with agents of both kinds and a watcher."""

    def __init__(self, server: RedisServer, hub: Hub, place: Place) -> None:
        self.server = server
        self.hub = hub
        self.place = place
        self.watcher = place.connect()
        self.log = self.watcher.watch()["log"]
        self.watcher.snapshot()
        self.wire, self.registered = place.agent("by-websocket", metadata={"k": 1})
        self.id = self.registered["agent_id"]
        self.http_id = place.register(name="by-http")
        self.position = self.watcher.said_by_now()[-1]["revision"]

    @property
    def ids(self) -> set[str]:
        return {self.id, self.http_id}

    def listed(self) -> set[str]:
        return {agent["id"] for agent in self.place.get("/agents").json()["agents"]}

    def stored(self, agent_id: str) -> dict[str, Any] | None:
        text = self.server.record(agent_id, self.place.prefix)
        return None if text is None else json.loads(text)

    def recovered(self) -> float:
        """Wait until a heartbeat is durable again; returns the seconds it took."""
        began = time.monotonic()
        wait_until(lambda: self.wire.ask("heartbeat")["durable"], 15)
        return time.monotonic() - began


class Stage:
    """A store and a hub that scenes share, each scene in its namespace; replaced if broken."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = ExitStack()
        self.server: RedisServer | None = None
        self.hub: Hub | None = None

    def set_up(self) -> tuple[RedisServer, Hub]:
        if self.server is None or self.hub is None or not self._works():
            self.tear_down()
            start = self._running.enter_context
            self.server = start(running(RedisServer(keeps=True)))
            self.hub = start(running_hub(self._directory, "--redis", self.server.url))
        return self.server, self.hub

    def _works(self) -> bool:
        try:
            assert self.server is not None
            assert self.hub is not None
            url = self.hub.url
            wait_until(lambda: requests.get(f"{url}/ready", timeout=1).status_code == 200, SOON)
        except (AssertionError, OSError):
            return False
        return bool(self.server.client.ping())

    def tear_down(self) -> None:
        self._running.close()
