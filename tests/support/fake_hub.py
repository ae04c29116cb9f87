"""A hub that does what a test tells it: answers, refuses, keeps silent, closes, breaks."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Message = dict[str, Any]
Handler = Callable[["Peer", Message], Any]

NOW = "2026-11-20T10:00:00.000000Z"


async def eventually(holds: Callable[[], Any], what: str = "the condition") -> None:
    """Poll until `holds`, for at most ten seconds."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{what} did not come true")


def agent_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def record(number: int = 1, **changes: Any) -> Message:
    return {
        "id": agent_id(number),
        "name": f"agent-{number}",
        "type": "cost",
        "host": "",
        "port": 0,
        "capabilities": [],
        "status": "healthy",
        "version": "",
        "registered_at": NOW,
        "last_seen": NOW,
        "health": {"connection": "websocket", "reported": "healthy", "reason": "ok", "since": NOW},
        "epoch": 1,
        "hub": "fake",
        "revision": number,
        **changes,
    }


def error(code: str, message: str = "refused by the test", **more: Any) -> Message:
    return {"op": "error", "code": code, "message": message, "retryable": False, **more}


def snapshot(*agents: Message, revision: int, log: str = "log-a", last: bool = True) -> Message:
    return {
        "op": "snapshot",
        "watch": 1,
        "agents": list(agents),
        "log": log,
        "revision": revision,
        "last": last,
    }


def event(revision: int, kind: str = "updated", **more: Any) -> Message:
    agent = record(revision)
    return {"op": "event", "watch": 1, "revision": revision, "kind": kind, "agent": agent, **more}


def watching(revision: int, *, resumed: bool = False, log: str = "log-a") -> Message:
    return {"op": "watching", "watch": 1, "resumed": resumed, "log": log, "revision": revision}


class Peer:
    """One connection of a client."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.requests: list[Message] = []

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await self.websocket.send(json.dumps(message))

    async def close(self, code: int, reason: str = "") -> None:
        await self.websocket.close(code, reason)

    def abort(self) -> None:
        self.websocket.transport.abort()

    def ops(self) -> list[str]:
        return [request["op"] for request in self.requests]


class FakeHub:
    """A well-behaved hub of one connection's worth of rules, until a test says otherwise.

    `on(op, handler)`: the handler gives one message, several, or None for no answer; the
    request's id is put into the first one. `handshake` refuses connections when set.
    """

    def __init__(self, heartbeat_interval: float = 30.0) -> None:
        self.heartbeat_interval = heartbeat_interval
        self.agents: dict[str, Message] = {}
        self.peers: list[Peer] = []
        self.handshakes: list[Request] = []
        self.handshake: tuple[int, Message, dict[str, str]] | None = None
        self._handlers: dict[str, Handler] = {}

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            subprotocols=["homeport.v1"],  # type: ignore[list-item]
            ping_interval=None,
            close_timeout=0.5,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def peer(self) -> Peer:
        return self.peers[-1]

    def on(self, op: str, handler: Handler) -> None:
        self._handlers[op] = handler

    def behave(self, op: str) -> None:
        """Back to the usual answer."""
        self._handlers.pop(op, None)

    def requests(self, op: str) -> list[Message]:
        return [r for peer in self.peers for r in peer.requests if r["op"] == op]

    async def heard(self, op: str, count: int = 1) -> None:
        await eventually(lambda: len(self.requests(op)) >= count, f"{count} {op}")

    def _admit(self, websocket: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if self.handshake is None:
            return None
        status, body, headers = self.handshake
        response = websocket.respond(HTTPStatus(status), json.dumps(body))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def _serve(self, websocket: ServerConnection) -> None:
        peer = Peer(websocket)
        self.peers.append(peer)
        try:
            async for data in websocket:
                assert isinstance(data, str), "a client sends text frames only"
                request = json.loads(data)
                peer.requests.append(request)
                handler = self._handlers.get(request["op"])
                answer = handler(peer, request) if handler else self._usual(peer, request)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer is None:
                    continue
                messages = answer if isinstance(answer, list) else [answer]
                if "id" not in messages[0]:
                    messages[0]["id"] = request["id"]
                await peer.send(*messages)
                if request["op"] == "unregister":
                    await peer.close(1000)
        except ConnectionClosed:
            pass

    def registered(self, id_: str, *, resumed: bool) -> Message:
        agent = self.agents.setdefault(id_, {"epoch": 0, "token": ""})
        agent["epoch"] += 1
        if not resumed:
            agent["token"] = f"token-{agent['epoch']}"
        return {
            "op": "registered",
            "agent_id": id_,
            "session_token": agent["token"],
            "epoch": agent["epoch"],
            "resumed": resumed,
            "registered_at": NOW,
            "heartbeat_interval": self.heartbeat_interval,
            "heartbeat_timeout": 45.0,
            "lease_ttl": 60.0,
            "log": "log-a",
            "revision": 7,
        }

    def _usual(self, _peer: Peer, request: Message) -> Message:
        match request["op"]:
            case "register":
                return self.registered(request["agent_id"], resumed=False)
            case "resume":
                agent = self.agents.get(request["agent_id"])
                if agent is None or agent["token"] != request["session_token"]:
                    return error("not_found")
                return self.registered(request["agent_id"], resumed=True)
            case "heartbeat":
                interval = self.heartbeat_interval
                return {
                    "op": "heartbeat_ack",
                    "next_interval": interval,
                    "timestamp": NOW,
                    "durable": True,
                }
            case "update":
                return {"op": "updated", "log": "log-a", "revision": 8}
            case "unregister":
                self.agents.clear()
                return {"op": "unregistered"}
            case "ping":
                return {"op": "pong"}
            case op:
                return error("unknown_op", f"the test has no answer to {op}")


def silent(_peer: Peer, _request: Message) -> None:
    """No answer."""


def script(hub: FakeHub, *answers: list[Message]) -> None:
    """The answers to one `watch` request after the other."""
    rest = iter(answers)
    hub.on("watch", lambda _p, _r: next(rest))
