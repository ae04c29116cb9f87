"""A fleet that is registered over HTTP, at a hub or any other server of the legacy routes."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.load.http_load import Aim
from bench.peers.http_client import HttpCaller, Response
from bench.rig.waiting import side_by_side
from bench.speed.http_calls import Call, registration, request
from homeport_protocol.namespaces import NAMESPACE_HEADER

LANES = 16  # connections over which a fleet registers and unregisters


class HttpFleet:
    """Agents at one server, alone in the `namespace` if there is one."""

    def __init__(self, url: str, namespace: str = "") -> None:
        parts = urlsplit(url)
        self.url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._headers = {NAMESPACE_HEADER: namespace} if namespace else {}
        self.ids: list[str] = []
        self.changed: dict[str, int] = {}
        """The newest `change` in the metadata of each agent that changed, by its id."""

    def at(self, url: str) -> HttpFleet:
        """The same agents, as if they were at another server."""
        fleet = HttpFleet(url)
        fleet.ids, fleet._headers = self.ids, self._headers
        return fleet

    def aim(self, name: str, call: Call) -> Aim:
        """What the load sends for this call."""
        authority = f"{self._host}:{self._port}"
        head = "".join(f"{key}: {value}\r\n" for key, value in self._headers.items())
        undo = request("POST", "/agents/{id}/unregister", authority, head)
        return Aim(
            name=name,
            host=self._host,
            port=self._port,
            requests=call.requests(authority, head, self.ids),
            status=call.status,
            undo=undo if call.status == 201 else b"",
        )

    async def register(self, count: int) -> None:
        """Register so many agents."""
        bodies = [("/agents/register", registration(number)) for number in range(count)]
        self.ids = sorted(answer.json()["agent_id"] for answer in await self._post_all(bodies))

    async def renew(self) -> None:
        """Send a heartbeat for each agent, lest it expires while others are called."""
        await self._post_all([(f"/agents/{each}/heartbeat", b"{}") for each in self.ids])

    async def leave(self) -> None:
        """Unregister them all."""
        await self._post_all([(f"/agents/{each}/unregister", b"") for each in self.ids])

    async def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        """One request on a new connection; raises BenchError when it does not succeed."""
        async with HttpCaller(self.url, self._headers) as caller:
            return await self._ask(caller, method, path, body)

    async def change(self, rate: float) -> None:
        """Change agents in turn, so many a second, until cancelled."""
        async with HttpCaller(self.url, self._headers) as caller:
            began, done = time.monotonic(), 0
            while True:
                agent_id = self.ids[done % len(self.ids)]
                done += 1
                # A change may be durable once it is sent, and must be once it is answered.
                body = b'{"metadata":{"change":%d}}' % done
                await self._ask(caller, "POST", f"/agents/{agent_id}/heartbeat", body)
                self.changed[agent_id] = done
                await asyncio.sleep(began + done / rate - time.monotonic())

    async def _post_all(self, requests: list[tuple[str, bytes]]) -> list[Response]:
        idle = [HttpCaller(self.url, self._headers) for _ in range(LANES)]

        async def post(each: tuple[str, bytes]) -> Response:
            caller = idle.pop()
            try:
                return await self._ask(caller, "POST", *each)
            finally:
                idle.append(caller)

        try:
            return await side_by_side(requests, post, LANES)
        finally:
            for caller in idle:
                caller.close()

    async def _ask(self, caller: HttpCaller, method: str, path: str, body: bytes) -> Response:
        answer = await caller.call(method, path, body)
        if answer.status not in (200, 201):
            raise BenchError(f"{self.url}: {method} {path} was answered {answer.status}")
        return answer
