"""An agent that knows three HTTP routes and the addresses of all hubs, and nothing else."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bench.errors import BenchError
from bench.peers.http_client import HttpCaller, Response
from tests.faults.notes import Answered, Pen, Said, Trouble
from tests.faults.tape import next_number
from tests.history.recorded import OLDER, OLDER_TYPE

GOODBYES = 0.1
"""Share of an older process's requests with which it unregisters."""

PATIENCE = 1.5
"""Seconds that an answer may take; then the next hub is asked."""


class LegacyAgent:
    """Heartbeats at any hub, each time at another; registers anew when it is not known."""

    own = True
    """Whether its identity is its own."""

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen, number: int) -> None:
        self._callers = {name: HttpCaller(url) for name, url in hubs.items()}
        self._query = f"?namespace={namespace}"
        self._pen = pen
        self._name = f"legacy-{number}"
        self._value = 0
        self.id = ""

    async def register(self) -> None:
        """Register at some hub, however long that takes."""
        body = {"name": self._name, "type": "resource", "host": "127.0.0.1", "port": 1}
        while True:
            answer = await self._post("register", "/agents/register", body)
            if answer is not None and answer.status == 201:
                self.id = answer.json()["agent_id"]
                return
            await asyncio.sleep(0.1)

    async def beat_on(self, interval: float, quiet: asyncio.Event) -> None:
        """Heartbeat until cancelled; until quiet, each one is a change."""
        while True:
            await asyncio.sleep(interval * (0.5 + random.random()) / 2)
            body: dict[str, Any] = {"status": "healthy"}
            if not quiet.is_set():
                self._value += 1
                body["metadata"] = {"value": self._value}
            answer = await self._post("heartbeat", f"/agents/{self.id}/heartbeat", body)
            if answer is not None and answer.status == 404:
                self._pen.note(Trouble, words=f"{self._name} ({self.id}) was forgotten: 404")
                await self.register()

    async def leave(self) -> None:
        """Unregister, at whichever hub answers, as often as that takes."""
        while True:
            answer = await self._post("unregister", f"/agents/{self.id}/unregister", None)
            if answer is not None and answer.status == 200:
                return
            await asyncio.sleep(0.2)

    async def _post(self, op: str, path: str, body: Any) -> Response | None:
        """Ask the hubs in some order until one answers; None when none does."""
        for hub in random.sample(sorted(self._callers), len(self._callers)):
            number = next_number()
            says = self._says(body)
            self._pen.note(
                Said, number=number, connection=0, op=op, agent_id=self.id, hub=hub, says=says
            )
            try:
                answer = await self._callers[hub].call("POST", path + self._query, body, PATIENCE)
            except BenchError:
                self._pen.note(Answered, number=number, code="no answer")
                continue
            done = answer.status in (200, 201)
            registered = answer.json()["agent_id"] if answer.status == 201 and self.own else ""
            self._pen.note(
                Answered,
                number=number,
                code="ok" if done else str(answer.status),
                unknown=answer.json().get("outcome") == "unknown",
                agent_id=registered,
            )
            if answer.status != 503:
                return answer
        return None

    def _says(self, body: Any) -> dict[str, Any]:
        says: dict[str, Any] = (body or {}).get("metadata", {})
        return says


class OlderProcess(LegacyAgent):
    """Registered an identity which an agent on a websocket takes over, and goes on without a token.

    It marks what it reports, and sometimes unregisters. It ends when it is not known any more.
    """

    own = False

    def __init__(self, hubs: dict[str, str], namespace: str, pen: Pen, agent_id: str) -> None:
        super().__init__(hubs, namespace, pen, 0)
        self.id = agent_id

    async def register(self) -> None:
        """Register at some hub, once."""
        where = {"host": "127.0.0.1", "port": 1, "agent_id": self.id}
        body = {"name": "older", "type": OLDER_TYPE, "metadata": OLDER, **where}
        await self._post("register", "/agents/register", body)

    async def beat_on(self, interval: float, quiet: asyncio.Event) -> None:
        """Say what an older process says, until told or unknown."""
        path, body = f"/agents/{self.id}", {"status": "degraded", "metadata": OLDER}
        while not quiet.is_set():
            await asyncio.sleep(interval * (0.5 + random.random()) / 2)
            op = "unregister" if random.random() < GOODBYES else "heartbeat"
            answer = await self._post(op, f"{path}/{op}", body)
            if answer is not None and answer.status == 404:
                return

    def _says(self, body: Any) -> dict[str, Any]:
        return {"metadata": OLDER}
