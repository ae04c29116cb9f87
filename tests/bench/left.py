"""What the bench leaves at a hub that goes on without it."""

from __future__ import annotations

import re

from bench.peers.http_client import HttpCaller


async def agents_left(url: str) -> set[float]:
    """How many agents there are in namespaces of the bench, of which there must be one at least."""
    async with HttpCaller(url) as caller:
        metrics = (await caller.call("GET", "/metrics")).body.decode()
    found = re.findall(r'homeport_agents\{namespace="bench-.*\} ([\d.]+)', metrics)
    assert found, "the bench was not here"
    return {float(agents) for agents in found}
