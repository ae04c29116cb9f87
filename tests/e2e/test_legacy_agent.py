"""A program of the legacy kind: it registers, heartbeats from a thread, and leaves, by HTTP."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import requests

from tests.support.hub_process import Hub, Place
from tests.support.waiting import LIMIT


class LegacyAgent:
    """A program of the legacy kind: the same requests with the same bodies, by `requests`."""

    def __init__(self, url: str, **spec: Any) -> None:
        self.url = url
        self.spec = {"version": "1.0.0", "metadata": {}, **spec}
        self.agent_id: str | None = None
        self.interval = 30.0
        self.beats: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def register(self) -> bool:
        order = ("name", "type", "host", "port", "capabilities", "version", "metadata")
        body = {name: self.spec[name] for name in order}
        response = requests.post(f"{self.url}/agents/register", json=body, timeout=10)
        if response.status_code != 201:
            return False
        answer = response.json()
        self.agent_id = answer["agent_id"]
        self.interval = answer.get("heartbeat_interval_seconds", 30)
        return True

    def start(self) -> None:
        self._thread.start()

    def _beat(self) -> None:
        body = {"status": "healthy", "metadata": self.spec["metadata"]}
        while not self._ended.is_set():
            url = f"{self.url}/agents/{self.agent_id}/heartbeat"
            self.beats.append(requests.post(url, json=body, timeout=5).status_code)
            self._ended.wait(self.interval)

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def unregister(self) -> int:
        self.stop()
        url = f"{self.url}/agents/{self.agent_id}/unregister"
        return requests.post(url, timeout=10).status_code


@pytest.fixture
def quick_hub(start_hub: Any) -> Hub:
    return start_hub(
        *("--redis", "memory://", "--heartbeat-interval", "0.2"),
        *("--heartbeat-timeout", "0.8", "--lease-ttl", "0.8"),
    )


def test_a_legacy_agent_lives_by_its_own_heartbeats_and_leaves_cleanly(
    quick_hub: Hub, enter: Any
) -> None:
    place = enter(quick_hub, None)
    agent = LegacyAgent(
        quick_hub.url,
        name="cost-agent-1",
        type="cost",
        host="localhost",
        port=8001,
        capabilities=["spot_migration", "reserved_instances"],
        metadata={"region": "eu"},
    )
    watcher = place.watcher()
    assert agent.register()
    assert agent.interval == 0.2, "the interval comes with the answer"
    assert watcher.event("registered")["agent"]["id"] == agent.agent_id
    agent.start()
    try:
        # Longer than it would be known without heartbeats.
        limit = time.monotonic() + 2 * LIMIT
        while len(agent.beats) < 12 and time.monotonic() < limit:
            watcher.listen(0.1)
        assert len(agent.beats) >= 12
        assert set(agent.beats) == {200}
        assert watcher.said_by_now() == [], "heartbeats that change nothing are no events"
    finally:
        agent.stop()
    assert agent.unregister() == 200
    assert watcher.event("unregistered")["agent"]["id"] == agent.agent_id
    assert place.get("/agents").json()["count"] == 0


def test_a_legacy_agent_whose_registration_is_refused_learns_it(place: Place) -> None:
    body = {"name": "", "type": "cost", "host": "h", "port": 1, "capabilities": []}
    agent = LegacyAgent(place.hub.url, **body)
    assert agent.register() is False
    assert agent.agent_id is None
