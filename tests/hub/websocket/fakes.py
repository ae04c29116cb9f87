"""A scripted hub and session, a transport that records, and a raw websocket peer."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.ports.link import Link
from actors.rules.permissions import Principal
from homeport_protocol.errors import CloseCode, ProtocolError
from hub.net.admission import Admission
from hub.net.caller import Authenticator, Caller, NobodyAsked
from hub.net.intake import Intake, Reader
from hub.net.listener import Listener
from hub.net.unsent import UnsentBudget
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics
from hub.websocket.connection import Connection
from hub.websocket.gateway import Gateway

OPCODES = {0: "cont", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
)


class FakeSession:
    """Records its calls; `on_message` answers, with an echo by default."""

    def __init__(self, namespace: str, link: Link) -> None:
        self.namespace = namespace
        self.link = link
        self.messages: list[bytes] = []
        self.calls: list[str] = []
        self.on_message: Callable[[FakeSession, bytes], None] = lambda me, data: me.link.send(data)

    def received(self, data: bytes) -> None:
        self.messages.append(data)
        self.on_message(self, data)

    def hold(self) -> None:
        pass

    def end(self, code: CloseCode, reason: str) -> None:
        self.link.close(code, reason, discard=True)

    def received_binary(self) -> None:
        self.calls.append("binary")

    def pong(self) -> None:
        self.calls.append("pong")

    def blocked(self) -> None:
        self.calls.append("blocked")

    def drained(self) -> None:
        self.calls.append("drained")

    def closed(self) -> None:
        self.calls.append("closed")

    @property
    def closed_times(self) -> int:
        return self.calls.count("closed")


class ImpatientIntake(Intake):
    """Has a connection parse all its backlog at once, for tests that are not about turns."""

    def add(self, reader: Reader) -> None:
        while reader.read_on():
            pass


class FakeHub:
    """The gateway's port; every session it makes is kept in `sessions`."""

    def __init__(self) -> None:
        self.authenticator: Authenticator = NobodyAsked()
        self.accepting = True
        self.max_frame_bytes = 64 * 1024
        self.max_rate = 100_000
        self.most_at_once: int | None = None
        self.metrics = Metrics("hub-1", "9.9.9")
        self.limits = LimitReports(self.metrics)
        self.admission = Admission(applied=self.limits.applied)
        self.audit = AuditLog(None, "hub-1", self.metrics)
        self.unsent = UnsentBudget()
        self.connections: set[Connection] = set()
        self.close_codes: list[int] = []
        self.sessions: list[FakeSession] = []
        self.refusal: ProtocolError | None = None
        self.on_message: Callable[[FakeSession, bytes], None] | None = None

    @property
    def burst(self) -> int:
        return self.most_at_once or self.max_rate

    def opened(self, connection: Connection, principal: Principal) -> None:
        self.connections.add(connection)

    def closed(self, connection: Connection, code: int) -> None:
        self.connections.remove(connection)
        self.close_codes.append(code)

    def session(self, caller: Caller, link: Link) -> FakeSession:
        if self.refusal is not None:
            raise self.refusal
        session = FakeSession(caller.namespace, link)
        if self.on_message is not None:
            session.on_message = self.on_message
        self.sessions.append(session)
        return session


async def answer_ok(scope, receive, send) -> None:
    """The smallest HTTP application: 200 and the path."""
    body = scope["path"].encode()
    length = str(len(body)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class RunningHub(FakeHub):
    """A fake hub behind a real listener on a real port."""

    def __init__(self, app=answer_ok, **options) -> None:
        super().__init__()
        self.port = 0
        self.listener = Listener(
            app, Gateway(self).protocol, "127.0.0.1", 0, admission=self.admission, **options
        )

    async def start(self) -> None:
        _, self.port = await self.listener.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True
) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    # A mask of zeros leaves the payload as it is.
    return head + (b"\0\0\0\0" if mask else b"") + payload


def upgrade(path: str = "/ws", headers: str = "") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return UPGRADE.format(path=path, key=key, headers=headers).encode()


class RawPeer:
    """A websocket client that sends any bytes and reads only when told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = b""

    @classmethod
    async def connect(
        cls, port: int, *, receive_buffer: int | None = None, early: bytes = b""
    ) -> RawPeer:
        """Open a websocket; `early` is sent in one segment with the handshake."""
        import socket  # noqa: PLC0415

        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        # A small limit: the stream stops reading soon when nobody takes what it has.
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        peer = cls(reader, writer)
        writer.write(upgrade() + early)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return peer

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def frame(self) -> tuple[str, bytes]:
        """The next frame as its kind and payload; `("eof", b"")` at the end."""
        try:
            async with asyncio.timeout(10):
                head = await self.reader.readexactly(2)
                size = head[1]
                assert size < 128, "a server must not mask"
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                return OPCODES[head[0] & 15], await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return "eof", b""

    async def close_code(self) -> int:
        """Read on to the close frame."""
        while True:
            kind, payload = await self.frame()
            if kind == "close":
                return int.from_bytes(payload[:2], "big")
            assert kind != "eof", "the connection ended without a close frame"

    def vanish(self) -> None:
        self.writer.transport.abort()


@dataclass
class NotingTransport(asyncio.Transport):
    """Records every write; with `stuck` it keeps what is written, as a full kernel buffer does."""

    writes: list[bytes] = field(default_factory=list)
    stuck: bool = False
    held: int = 0
    ended: bool = False
    aborted: bool = False
    closing: bool = False
    reading: bool = True
    protocol: asyncio.Protocol | None = None
    high: int = 0

    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        super().__init__()

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.held

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        self.writes.append(data)
        if self.stuck:
            before, self.held = self.held, self.held + len(data)
            if before <= self.high < self.held:
                self.protocol.pause_writing()

    def release(self) -> None:
        """The kernel takes everything."""
        paused, self.held = self.held > self.high, 0
        if paused:
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)
