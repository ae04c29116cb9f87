"""A websocket client on one blocking socket, without threads, that sees every frame.

It is built on the sans-I/O core of `websockets`, without compression, and can do what a
well-behaved client would not: send any bytes, leave pings unanswered, stop reading, or vanish.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import ssl
import struct
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.waiting import LIMIT

Message = dict[str, Any]


class ClosedError(AssertionError):
    """The hub closed the websocket while the test waited for a message."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"the hub closed the websocket: {code} {reason!r}")
        self.code = code
        self.reason = reason


class RefusedError(AssertionError):
    """The hub answered the handshake with something else than 101."""

    def __init__(self, response: Response | None, error: Exception) -> None:
        super().__init__(f"no websocket: {error}")
        self.status = None if response is None else response.status_code
        self.body = b"" if response is None else bytes(response.body or b"")


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """One frame made by hand, well or badly formed."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, (0x80 if masked else 0) | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, (0x80 if masked else 0) | 126, size)
    else:
        head = struct.pack("!BBQ", first, (0x80 if masked else 0) | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class Wire:
    """One websocket to a hub.

    `said` holds every message without an `id`, that is, what watches deliver, in order, until a
    test takes it with `event`, `snapshot` or `events_now`. Each carries its arrival under
    `_at` (monotonic seconds).
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str | None = None,
        namespace_in_query: bool = False,
        subprotocols: list[str] | None = None,
        headers: dict[str, str] | None = None,
        answers_pings: bool = True,
        path: str = "/ws",
        query: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        query = dict(query or {})
        if namespace is not None and namespace_in_query:
            query["namespace"] = namespace
        address = urlsplit(url)
        assert address.hostname is not None
        self.socket = socket.create_connection((address.hostname, address.port), timeout=LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address.hostname)
        uri = f"ws://{address.hostname}:{address.port}{path}"
        self._protocol = ClientProtocol(
            parse_uri(uri + (f"?{urlencode(query)}" if query else "")),
            subprotocols=subprotocols,  # type: ignore[arg-type]
            max_size=None,
        )
        self.answers_pings = answers_pings
        self.said: list[Message] = []
        self.pings = 0
        self.close: Close | None = None
        self.closed_at: float | None = None
        self._answers: list[Message] = []
        self._ids = itertools.count(1)
        self.response: Response | None = None
        request = self._protocol.connect()
        if namespace is not None and not namespace_in_query:
            request.headers["Homeport-Namespace"] = namespace
        for name, value in (headers or {}).items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()
        self._shake_hands()

    def _shake_hands(self) -> None:
        limit = time.monotonic() + LIMIT
        while self._protocol.state is State.CONNECTING:
            if not self._pump(limit - time.monotonic()):
                break
        if self._protocol.handshake_exc is not None or self._protocol.state is not State.OPEN:
            error = self._protocol.handshake_exc or TimeoutError("no answer to the handshake")
            self.drop()
            raise RefusedError(self.response, error)

    # -- bytes ---------------------------------------------------------------------------------

    def _pump(self, timeout: float) -> bool:
        """Read what there is within `timeout` seconds; False when nothing more can come."""
        if self.closed_at is not None:
            return False
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        ready, _, _ = select.select([self.socket], [], [], 0 if pending else max(timeout, 0))
        if not ready and not pending:
            return False
        try:
            data = self.socket.recv(1 << 20)
        except OSError:
            data = b""
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        if data:
            self._protocol.receive_data(data)
        elif self.closed_at is None:
            self.closed_at = time.monotonic()
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame):
                self._frame(event)
        if self.answers_pings or self.close is not None:
            self._flush()
        else:
            self._protocol.data_to_send()

    def _frame(self, received: Frame) -> None:
        if received.opcode is Opcode.PING:
            self.pings += 1
        elif received.opcode is Opcode.CLOSE:
            self.close = Close.parse(received.data)
        elif received.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            assert received.opcode is Opcode.TEXT, f"not a text frame: {received}"
            assert received.fin, "a message in several frames"
            message = json.loads(bytes(received.data))
            assert isinstance(message, dict)
            message["_at"] = time.monotonic()
            (self._answers if "id" in message else self.said).append(message)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.send_bytes(data)

    def send_bytes(self, data: bytes) -> None:
        """Put bytes on the TCP stream as they are, reading meanwhile so as never to block."""
        view = memoryview(data)
        limit = time.monotonic() + LIMIT
        while view and self.closed_at is None:
            assert time.monotonic() < limit, "the hub does not read"
            ready, writable, _ = select.select([self.socket], [self.socket], [], 1.0)
            try:
                if writable:
                    view = view[self.socket.send(view[:65536]) :]
                elif ready:
                    self._take(self.socket.recv(1 << 20))
            except OSError:
                # The hub has closed the connection; what it sent before can still be read.
                return

    # -- messages ------------------------------------------------------------------------------

    def send(self, message: Message | str | bytes) -> None:
        """One text frame: a dict as JSON, or text or bytes as they are."""
        if isinstance(message, dict):
            message = json.dumps(message)
        if isinstance(message, str):
            message = message.encode()
        self.send_bytes(frame(1, message))

    def answer(self, timeout: float = LIMIT) -> Message:
        """The next message that carries an `id`, null included."""
        limit = time.monotonic() + timeout
        while not self._answers:
            if not self._pump(limit - time.monotonic()):
                self._complain("an answer")
        return self._answers.pop(0)

    def drain(self, quiet: float = 0.3) -> None:
        """Forget every answer, until none has come for `quiet` seconds."""
        self._answers.clear()
        while self._pump(quiet):
            self._answers.clear()

    def ask(self, op: str, *, timeout: float = LIMIT, **fields: Any) -> Message:
        """Send a request and wait for the one answer to it."""
        number = next(self._ids)
        self.send({"op": op, "id": number, **fields})
        answer = self.answer(timeout)
        assert answer["id"] == number, answer
        return answer

    def tell(self, timeout: float = LIMIT) -> Message:
        """The next message of a watch: `snapshot` or `event`."""
        limit = time.monotonic() + timeout
        while not self.said:
            if not self._pump(limit - time.monotonic()):
                self._complain("a message of a watch")
        return self.said.pop(0)

    def event(self, kind: str | None = None, timeout: float = LIMIT) -> Message:
        """The next message of a watch, which must be an event (of that kind)."""
        message = self.tell(timeout)
        assert message["op"] == "event", message
        assert kind is None or message["kind"] == kind, message
        return message

    def events_until(self, kind: str, timeout: float = LIMIT) -> list[Message]:
        """All events up to and including the first of that kind."""
        limit = time.monotonic() + timeout
        events = [self.event(timeout=timeout)]
        while events[-1]["kind"] != kind:
            events.append(self.event(timeout=limit - time.monotonic()))
        return events

    def snapshot(self, timeout: float = LIMIT) -> list[Message]:
        """The agents of the whole snapshot that must come next."""
        agents: list[Message] = []
        while True:
            message = self.tell(timeout)
            assert message["op"] == "snapshot", message
            agents += message["agents"]
            if message["last"]:
                return agents

    def said_by_now(self) -> list[Message]:
        """Everything that watches have said; a round trip makes sure that it has come."""
        self.ping()
        said, self.said = self.said, []
        return said

    def listen(self, seconds: float) -> None:
        """Read (and answer pings) for that long."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self.closed_at is None:
            self._pump(limit - time.monotonic())

    def ping(self) -> None:
        """Check that the connection works: the hub answers."""
        answer = self.ask("ping")
        assert answer["op"] == "pong", answer

    # -- agents --------------------------------------------------------------------------------

    def register(self, name: str = "a", type: str = "cost", **fields: Any) -> Message:
        """Register; keywords are fields of the agent, except `agent_id`. Returns `registered`."""
        outer = {"agent_id": fields.pop("agent_id")} if "agent_id" in fields else {}
        answer = self.ask("register", agent={"name": name, "type": type, **fields}, **outer)
        assert answer["op"] == "registered", answer
        return answer

    def watch(self, filter: Message | None = None, **fields: Any) -> Message:
        """Begin a watch. Returns `watching`."""
        answer = self.ask("watch", filter=filter or {}, **fields)
        assert answer["op"] == "watching", answer
        return answer

    def record(self, agent_id: str) -> Message:
        """An agent's record, by `get`."""
        answer = self.ask("get", agent_id=agent_id)
        assert answer["op"] == "agent", answer
        agent: Message = answer["agent"]
        return agent

    # -- the end -------------------------------------------------------------------------------

    def closing(self, timeout: float = LIMIT) -> tuple[int | None, str]:
        """Code and reason with which the hub closes; code is None when there was no close frame."""
        limit = time.monotonic() + timeout
        while self.closed_at is None:
            if not self._pump(limit - time.monotonic()):
                break
        assert self.closed_at is not None, "the hub did not close the websocket"
        return (None, "") if self.close is None else (self.close.code, self.close.reason)

    def _complain(self, wanted: str) -> None:
        if self.closed_at is not None:
            raise ClosedError(
                None if self.close is None else self.close.code,
                "" if self.close is None else self.close.reason,
            )
        raise AssertionError(f"waited in vain for {wanted}")

    def reset(self) -> None:
        """Vanish as a killed process on another machine does: RST, no close frame."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def drop(self) -> None:
        """End the TCP connection, without a close frame."""
        self.closed_at = self.closed_at or time.monotonic()
        self.socket.close()
