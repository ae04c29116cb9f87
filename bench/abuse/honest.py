"""The honest ones beside an attack: newcomers, one after the other, and a probe of the loop."""

from __future__ import annotations

import asyncio
import time

from bench.errors import BenchError
from bench.peers.raw_client import Heard, RawClient
from homeport_protocol.answers import Unregistered
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Ping, Unregister

PROBE_EVERY = 0.05
COME_EVERY = 0.5
PATIENCE = 10.0
"""Seconds that a newcomer waits for each answer."""


class Newcomers:
    """One after the other connects, registers and unregisters: how long that took, or why not."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.took: list[tuple[float, float]] = []
        """When each began, and the seconds until it was registered."""
        self.refused: list[tuple[float, str]] = []

    async def come(self) -> None:
        """Come until cancelled."""
        spec = AgentSpec(name="newcomer", type="cost")
        while True:
            began = time.monotonic()
            client: RawClient | None = None
            try:
                async with asyncio.timeout(PATIENCE):
                    client = await RawClient.connect(self._url)
                    await client.register(spec)
                    self.took.append((began, time.monotonic() - began))
                    await client.demand(Unregister(id=0), Unregistered)
            except (BenchError, TimeoutError) as error:
                self.refused.append((began, str(error) or f"no answer in {PATIENCE:g} s"))
            finally:
                if client is not None:
                    client.abort()
            await asyncio.sleep(COME_EVERY)


class Probe:
    """Pings on a websocket of its own, which the hub answers from memory, at fixed instants.

    The lag of the hub's event loop is part of each round trip.
    """

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self.answered: list[tuple[float, float]] = []
        """When each was sent, and the seconds until its answer."""

    async def go_on(self) -> None:
        """Ping until cancelled, or until the connection is gone."""
        due = time.monotonic()
        while not self._client.ended:
            self._client.send(Ping(id=0)).add_done_callback(self._heard)
            due += PROBE_EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _heard(self, future: asyncio.Future[Heard]) -> None:
        if not future.cancelled() and future.exception() is None:
            heard = future.result()
            self.answered.append((heard.sent, heard.latency))
