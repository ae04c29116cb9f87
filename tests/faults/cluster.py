"""Three hubs on one store, with a network between them that the tests control."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.faults.network import Network, Proxy
from tests.faults.stores import Store
from tests.history.recorded import Terms
from tests.support.hub_process import Hub
from tests.support.ports import free_port
from tests.support.waiting import wait_until

TERMS = Terms(heartbeat_timeout=6.0, lease_ttl=8.0, resume_window=2.0, hub_lease=10.0)
"""The hubs' times: so short that a round takes seconds, and so long that a busy machine does not
make an agent look dead."""

INTERVAL = 1.0
READY_LIMIT = 40.0

# Threads that live as long as this process: what a thread starts ends with it (`bound`).
_starters = ThreadPoolExecutor(4)


def side_by_side(functions: list[Callable[[], Any]]) -> None:
    """Call all at the same time, and wait for them."""
    for future in [_starters.submit(function) for function in functions]:
        future.result()


class Cluster:
    """The hubs `hub-0` to `hub-2`. `ways` lead to the hubs, `store_ways` from each to the store."""

    def __init__(self, directory: Path, store: Store | None = None) -> None:
        self.store = store or Store()
        self.network = Network()
        self.hubs: dict[str, Hub] = {}
        self.ways: dict[str, Proxy] = {}
        self.store_ways: dict[str, Proxy] = {}
        self._directory = directory

    def start(self) -> None:
        """Start the store, and all hubs."""
        self.store.start()
        for number in range(3):
            name, port = f"hub-{number}", free_port()
            way: int | None = None
            if self.store.address is not None:
                self.store_ways[name] = self.network.proxy(*self.store.address)
                way = self.store_ways[name].port
            self.ways[name] = self.network.proxy("127.0.0.1", port)
            options = {
                "port": port,
                "hub-id": name,
                "redis": self.store.url(way),
                "heartbeat-interval": INTERVAL,
                "heartbeat-timeout": TERMS.heartbeat_timeout,
                "lease-ttl": TERMS.lease_ttl,
                "resume-window": TERMS.resume_window,
                "log-level": "debug",
            }
            flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
            self.hubs[name] = Hub(self._directory / name, *flags, port=False)
        side_by_side([hub.start for hub in self.hubs.values()])

    @property
    def urls(self) -> dict[str, str]:
        """Where agents and watchers reach the hubs: through the proxies."""
        return {name: f"http://127.0.0.1:{way.port}" for name, way in self.ways.items()}

    def restart(self, name: str) -> None:
        """Start a hub that is gone again, in the place where it was."""
        hub = self.hubs[name]
        hub.end()
        hub.start()

    def repair(self) -> None:
        """Make the store, the network and every hub work again, whatever was done to them."""
        self.network.heal()
        self.store.repair()
        for name, hub in self.hubs.items():
            if not hub.running:
                self.restart(name)
            hub.wake()
        for hub in self.hubs.values():
            wait_until(partial(_ready, hub), READY_LIMIT)

    def failures(self) -> list[str]:
        """The first words of every internal failure that a hub logged."""
        found = []
        for name, hub in self.hubs.items():
            for line in hub.log().splitlines():
                if any(words in line for words in ("Traceback", "actor failed", "[critical")):
                    found.append(f"{name}: {line[:200]}")
        return found

    def end(self) -> None:
        """End everything that runs."""
        side_by_side([hub.end for hub in self.hubs.values()])
        self.store.end()
        self.network.close()


def _ready(hub: Hub) -> bool:
    try:
        return requests.get(f"{hub.url}/ready", timeout=2).status_code == 200
    except OSError:
        return False
