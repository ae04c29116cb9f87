"""A scripted hub on a thread of its own: it speaks the contract from a plain dict of records."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

NOW = "2026-11-20T12:00:00.000000Z"


def record(name: str, **changes: Any) -> dict[str, Any]:
    """An agent's record as the contract orders it, with `changes` applied."""
    agent: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "name": name,
        "type": "cost",
        "host": "10.0.0.7",
        "port": 9000,
        "capabilities": ["sql", "csv"],
        "status": "healthy",
        "version": "1.2.0",
        "registered_at": NOW,
        "last_seen": NOW,
        "metadata": {"region": "eu"},
        "health": {"connection": "websocket", "reported": "healthy", "reason": "ok", "since": NOW},
        "epoch": 1,
        "hub": "hub-1",
        "revision": 1,
    }
    unknown = set(changes) - set(agent) - {"load"}
    assert not unknown, unknown
    return {
        key: changes.get(key, agent.get(key))
        for key in [*list(agent)[:11], "load", *list(agent)[11:]]
        if key in changes or key in agent
    }


def status(hub_id: str, **changes: Any) -> dict[str, Any]:
    """What the cluster knows of a hub, with `changes` applied."""
    return {
        "hub_id": hub_id,
        "url": "http://10.0.0.1:8080",
        "version": "0.2.0",
        "started": NOW,
        "agents": 1,
        "sessions": 1,
        "revision": 100,
        "lag": 0,
    } | changes


class FakeHub:
    """Answers every request at once, keeps all it was asked, and does as the test says.

    `requests` holds every request; `refuse[op]` is a (code, message) to refuse `op` with; an op
    in `silent` gets no answer; `status` is an HTTP status to refuse connections with. `hubs` are
    those of its cluster; `lost` is how many agents it holds back after a loss.
    """

    def __init__(self) -> None:
        self.agents: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Headers] = []
        self.paths: list[str] = []
        self.refuse: dict[str, tuple[str, str]] = {}
        self.silent: set[str] = set()
        self.status: HTTPStatus | None = None
        self.hubs = [status("hub-1")]
        self.lost = 0
        self.log = "log-a"
        self.revision = 100
        self.port = 0
        self._watches: list[tuple[ServerConnection, int]] = []
        self._heard = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, *agents: dict[str, Any]) -> None:
        self.agents.update((agent["id"], agent) for agent in agents)

    def asked(self, op: str) -> list[dict[str, Any]]:
        """The requests of one kind so far, oldest first."""
        return [request for request in self.requests if request["op"] == op]

    def wait_for(self, op: str, count: int = 1, timeout: float = 20) -> dict[str, Any]:
        """Wait until `op` has been asked `count` times; returns the last of them."""
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.asked(op)) >= count, timeout), (
                f"{op} was not asked {count} times; asked was {self.requests}"
            )
        return self.asked(op)[count - 1]

    def emit(self, kind: str, agent: dict[str, Any], **extra: Any) -> None:
        """Tell every watcher of a change."""

        async def tell() -> None:
            self.revision += 1
            for connection, watch in self._watches:
                await connection.send(
                    json.dumps(
                        {"op": "event", "watch": watch, "revision": self.revision, "kind": kind}
                        | {"agent": {**agent, "revision": self.revision}}
                        | extra
                    )
                )

        self._run(tell())

    def begin_log(self, log: str) -> None:
        """Begin a new log: every watcher gets a snapshot in the middle of its watch."""

        async def tell() -> None:
            self.log = log
            for connection, watch in self._watches:
                await self._send_snapshot(connection, watch)

        self._run(tell())

    def close_connections(self, code: int, reason: str = "") -> None:
        async def close() -> None:
            assert self._server is not None
            for connection in list(self._server.connections):
                await connection.close(code, reason)

        self._run(close())

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        self.paths.append(request.path)
        if self.status is not None:
            return connection.respond(self.status, "refused\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                request = json.loads(text)
                if request["op"] in self.silent:
                    self._note(request)
                    continue
                answer = self._answer(connection, request)
                await connection.send(json.dumps(answer))
                if answer["op"] == "watching":
                    watch = answer["watch"]
                    if not answer["resumed"]:
                        await self._send_snapshot(connection, watch)
                    self._watches.append((connection, watch))
                self._note(request)
                if answer["op"] == "unregistered":
                    await connection.close(1000)
        except ConnectionClosed:
            pass
        finally:
            self._watches = [one for one in self._watches if one[0] is not connection]

    def _note(self, request: dict[str, Any]) -> None:
        with self._heard:
            self.requests.append(request)
            self._heard.notify_all()

    def _answer(self, connection: ServerConnection, request: dict[str, Any]) -> dict[str, Any]:
        op, number = request["op"], request["id"]
        here = {"log": self.log, "revision": self.revision}
        found = list(self.agents.values())
        code, message = self.refuse.get(op, ("", ""))
        if op == "get" and request["agent_id"] not in self.agents:
            code, message = "not_found", "there is no agent with this id"
        if op == "pick" and not found:
            code, message = "no_match", "no healthy agent matches the filter"
        if code:
            return {"op": "error", "id": number, "code": code, "message": message} | {
                "retryable": False
            }
        match op:
            case "register" | "resume":
                agent_id = request.get("agent_id") or str(uuid.uuid4())
                terms = {"heartbeat_interval": 0.5, "heartbeat_timeout": 45, "lease_ttl": 60}
                answer = terms | {"agent_id": agent_id, "session_token": "secret", "epoch": 1}
                answer |= {"resumed": op == "resume", "registered_at": NOW}
                return {"op": "registered", "id": number} | answer | here
            case "heartbeat":
                answer = {"next_interval": 0.5, "timestamp": NOW, "durable": True}
                return {"op": "heartbeat_ack", "id": number} | answer
            case "update":
                return {"op": "updated", "id": number} | here
            case "unregister":
                return {"op": "unregistered", "id": number}
            case "find":
                found = found[: request.get("limit", 1000)]
                return {"op": "agents", "id": number, "agents": found, "count": len(found)} | here
            case "get":
                return {"op": "agent", "id": number, "agent": self.agents[request["agent_id"]]}
            case "pick":
                return {"op": "agent", "id": number, "agent": found[0]}
            case "watch":
                resumed = request.get("log") == self.log
                return {"op": "watching", "id": number, "watch": 1, "resumed": resumed} | here
            case "unwatch":
                return {"op": "unwatched", "id": number}
            case "ping":
                return {"op": "pong", "id": number}
            case "hubs":
                answer = {"hubs": self.hubs, "answered_by": "hub-1"}
                return {"op": "hubs", "id": number} | answer | here
            case "acknowledge_loss":
                answer = {"agents": self.lost, "revision": self.revision}
                return {"op": "loss_acknowledged", "id": number} | answer
        raise AssertionError(f"the fake hub knows no {op}")

    async def _send_snapshot(self, connection: ServerConnection, watch: int) -> None:
        snapshot = {"op": "snapshot", "watch": watch, "agents": list(self.agents.values())}
        here = {"log": self.log, "revision": self.revision, "last": True}
        await connection.send(json.dumps(snapshot | here))

    def _run_loop(self, listening: threading.Event) -> None:
        async def main() -> None:
            async with serve(
                self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None
            ) as self._server:
                self.port = next(iter(self._server.sockets)).getsockname()[1]
                listening.set()
                await self._stopping.wait()

        self._stopping = asyncio.Event()
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(main())


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """A fake hub that listens while entered."""
    hub = FakeHub()
    listening = threading.Event()
    thread = threading.Thread(target=hub._run_loop, args=(listening,), daemon=True)
    thread.start()
    assert listening.wait(20)
    try:
        yield hub
    finally:
        hub._loop.call_soon_threadsafe(hub._stopping.set)
        thread.join(20)
        assert not thread.is_alive()
