"""A hub that does what a test tells it: answers, refuses, keeps silent, closes, breaks."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.records import NOW, wire_record

Message = dict[str, Any]
Handler = Callable[["Peer", Message], Any]

TIMEOUT = 20.0
"""Seconds after which waiting for a client fails the test."""


async def eventually(holds: Callable[[], Any], what: str = "the condition") -> None:
    """Poll until `holds`."""
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.005)


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
    message = {"op": "event", "watch": 1, "revision": revision, "kind": kind}
    return message | {"agent": wire_record(revision)} | more


def watching(revision: int, *, resumed: bool = False, log: str = "log-a") -> Message:
    return {"op": "watching", "watch": 1, "resumed": resumed, "log": log, "revision": revision}


def hub_status(hub_id: str, **changes: Any) -> Message:
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
    """A well-behaved hub, until a test says otherwise.

    `on(op, handler)`: the handler gives one message, several, or None for no answer; the
    request's id is put into the first one. `handshake` (status, body, headers) refuses
    connections when set. `agents` are the sessions by the agents' ids, `records` the directory,
    `hubs` the cluster; `lost` is how many agents are held back after a loss.
    """

    def __init__(self, heartbeat_interval: float = 30.0, tls: ssl.SSLContext | None = None) -> None:
        self.heartbeat_interval = heartbeat_interval
        self.tls = tls
        self.agents: dict[str, Message] = {}
        self.records: dict[str, Message] = {}
        self.hubs = [hub_status("hub-1")]
        self.lost = 0
        self.log = "log-a"
        self.revision = 100
        self.peers: list[Peer] = []
        self.handshakes: list[Request] = []
        self.handshake: tuple[int, Message | str, dict[str, str]] | None = None
        self._handlers: dict[str, Handler] = {}
        self._watchers: list[Peer] = []
        self._handled: list[Message] = []

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            subprotocols=["homeport.v1"],  # type: ignore[list-item]
            ping_interval=None,
            close_timeout=0.5,
            ssl=self.tls,
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

    def add(self, *records: Message) -> None:
        """Put agents into the directory."""
        self.records.update((record["id"], record) for record in records)

    def on(self, op: str, handler: Handler) -> None:
        self._handlers[op] = handler

    def refuse(self, op: str, code: str, message: str = "refused by the test", **more: Any) -> None:
        """Answer every `op` with an error."""
        self.on(op, lambda _peer, _request: error(code, message, **more))

    def behave(self, op: str) -> None:
        """Back to the usual answer."""
        self._handlers.pop(op, None)

    def ops(self) -> list[str]:
        return [op for peer in self.peers for op in peer.ops()]

    def requests(self, op: str) -> list[Message]:
        return [r for peer in self.peers for r in peer.requests if r["op"] == op]

    def handled(self, op: str) -> list[Message]:
        """The requests that were answered, or are never to be."""
        return [request for request in self._handled if request["op"] == op]

    async def heard(self, op: str, count: int = 1) -> None:
        await eventually(lambda: len(self.requests(op)) >= count, f"{count} {op}")

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
            "log": self.log,
            "revision": self.revision,
        }

    def _admit(self, websocket: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if self.handshake is None:
            return None
        status, body, headers = self.handshake
        text = body if isinstance(body, str) else json.dumps(body)
        response = websocket.respond(HTTPStatus(status), text)
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
                handler = self._handlers.get(request["op"], self._usual)
                answer = handler(peer, request)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                messages: list[Message] = []
                if answer is not None:
                    messages = answer if isinstance(answer, list) else [answer]
                    if "id" not in messages[0]:
                        messages[0]["id"] = request["id"]
                    await peer.send(*messages)
                self._handled.append(request)
                if messages and messages[0]["op"] == "unregistered":
                    await peer.close(1000)
        except ConnectionClosed:
            pass
        finally:
            if peer in self._watchers:
                self._watchers.remove(peer)

    def _snapshot(self) -> Message:
        return snapshot(*self.records.values(), revision=self.revision, log=self.log)

    def _usual(self, peer: Peer, request: Message) -> Message | list[Message]:
        here = {"log": self.log, "revision": self.revision}
        found = list(self.records.values())
        match request["op"]:
            case "register":
                return self.registered(request["agent_id"], resumed=False)
            case "resume":
                agent = self.agents.get(request["agent_id"])
                if agent is None or agent["token"] != request["session_token"]:
                    return error("not_found")
                return self.registered(request["agent_id"], resumed=True)
            case "heartbeat":
                ack = {"next_interval": self.heartbeat_interval, "timestamp": NOW}
                return {"op": "heartbeat_ack", "durable": True} | ack
            case "update":
                self.revision += 1
                return {"op": "updated", "log": self.log, "revision": self.revision}
            case "unregister":
                self.agents.clear()
                return {"op": "unregistered"}
            case "find":
                name = (request.get("filter") or {}).get("name")
                found = [one for one in found if name in (None, one["name"])]
                found = found[: request.get("limit", 1000)]
                return {"op": "agents", "agents": found, "count": len(found)} | here
            case "get":
                record = self.records.get(request["agent_id"])
                if record is None:
                    return error("not_found", "there is no agent with this id")
                return {"op": "agent", "agent": record}
            case "remove":
                if self.records.pop(request["agent_id"], None) is None:
                    return error("not_found", "no such agent")
                return {"op": "removed"}
            case "pick":
                if not found:
                    return error("no_match", "no healthy agent matches the filter")
                return {"op": "agent", "agent": found[0]}
            case "watch":
                self._watchers.append(peer)
                resumed = request.get("log") == self.log
                answer = watching(self.revision, resumed=resumed, log=self.log)
                return [answer] if resumed else [answer, self._snapshot()]
            case "ping":
                return {"op": "pong"}
            case "hubs":
                return {"op": "hubs", "hubs": self.hubs, "answered_by": "hub-1"} | here
            case "acknowledge_loss":
                answer = {"agents": self.lost, "revision": self.revision}
                return {"op": "loss_acknowledged"} | answer
            case op:
                return error("unknown_op", f"the test has no answer to {op}")


def silent(_peer: Peer, _request: Message) -> None:
    """No answer."""


def script(hub: FakeHub, *answers: list[Message]) -> None:
    """The answers to one `watch` request after the other."""
    rest = iter(answers)
    hub.on("watch", lambda _p, _r: next(rest))


class ThreadedHub(FakeHub):
    """The same on a separate thread, for tests without asyncio: its methods block."""

    def wait_for(self, op: str, count: int = 1) -> Message:
        """Wait until `op` was handled `count` times, and return the last of these requests."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.handled(op)) < count:
            assert time.monotonic() < deadline, f"{op} was not asked {count} times: {self.ops()}"
            time.sleep(0.005)
        return self.handled(op)[count - 1]

    def emit(self, kind: str, agent: Message, **more: Any) -> None:
        """Send every watch a change."""

        async def send() -> None:
            self.revision += 1
            changed = {**agent, "revision": self.revision}
            for peer in self._watchers:
                await peer.send(event(self.revision, kind, agent=changed, **more))

        self._do(send())

    def read(self, loads: dict[str, float]) -> None:
        """Send every watch a reading."""

        async def send() -> None:
            for peer in self._watchers:
                await peer.send({"op": "reading", "watch": 1, "loads": loads})

        self._do(send())

    def begin_log(self, log: str) -> None:
        """Begin a new log: every watch gets a snapshot in the middle."""

        async def send() -> None:
            self.log = log
            for peer in self._watchers:
                await peer.send(self._snapshot())

        self._do(send())

    def close_connections(self, code: int, reason: str = "") -> None:
        async def close() -> None:
            for peer in self.peers:
                await peer.close(code, reason)

        self._do(close())

    def serve_until_stopped(self, listening: threading.Event) -> None:
        """What the thread does."""

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._stopping = asyncio.Event()
            async with self:
                listening.set()
                await self._stopping.wait()

        asyncio.run(main())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT)


@contextmanager
def running_hub(
    heartbeat_interval: float = 0.5, tls: ssl.SSLContext | None = None
) -> Iterator[ThreadedHub]:
    """A hub on a thread that listens while the context is open; heartbeats are quick."""
    hub = ThreadedHub(heartbeat_interval, tls)
    listening = threading.Event()
    thread = threading.Thread(target=hub.serve_until_stopped, args=(listening,), daemon=True)
    thread.start()
    assert listening.wait(TIMEOUT)
    try:
        yield hub
    finally:
        hub.stop()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
