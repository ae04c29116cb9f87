"""The opening handshake: which upgrade requests become websockets, and how others are refused."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.utils import accept_key

from homeport_protocol.errors import FAILURES, ProtocolError
from homeport_protocol.websocket import SUBPROTOCOL, WEBSOCKET_PATH
from hub.net.caller import Shown, certificate_of, read_shown
from hub.net.peer import FORWARDED, peer_address, socket_address
from hub.net.raw_response import Refused, failure_headers, retry_after
from hub.websocket.ports import WebsocketHub

_key = re.compile("[A-Za-z0-9+/]{22}==")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_CHOSEN = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n".encode()
_PATH = WEBSOCKET_PATH.encode()

MAX_HEADERS = 128


class Opening(NamedTuple):
    """A correct handshake: what it shows of its caller, and the response that opens it."""

    shown: Shown
    response: bytes


def read_handshake(request: bytes, hub: WebsocketHub, transport: asyncio.BaseTransport) -> Opening:
    """Read an upgrade request; who sent it is not known yet.

    Raises Refused; the connection then writes `error_response`.
    """
    asked = read_request(request)
    query = read_query(asked)
    try:
        shown = read_shown(
            asked.headers,
            query,
            certificate=certificate_of(transport),
            peer=peer_address(
                socket_address(transport),
                asked.values(FORWARDED),
                hub.admission.limits.trusted_proxies,
            ),
        )
    except ProtocolError as error:
        raise refusal_of(error) from None
    if not hub.accepting:
        raise going_away()
    return Opening(shown, accept(asked))


def crowded() -> Refused:
    """The refusal of one more websocket from an address that holds too many."""
    words = "too many connections of this address (max_connections_per_address); try again"
    return Refused(429, words, retry_after(5))


def going_away() -> Refused:
    """The refusal of a hub that stops."""
    return Refused(503, "the hub is going away; try again", retry_after(1))


def refusal_of(error: ProtocolError) -> Refused:
    """The refusal of a handshake that failed so."""
    return Refused(FAILURES[error.code].http_status, error.message, failure_headers(error))


class Request(NamedTuple):
    """An upgrade request; the names of its `headers` are in lower case."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]

    def values(self, name: bytes) -> list[str]:
        """All values of a header."""
        return [str(value, "latin-1") for each, value in self.headers if each == name]

    def only(self, name: bytes) -> str:
        """The value of a header that may occur once; "" when it is absent or occurs again."""
        values = self.values(name)
        return values[0] if len(values) == 1 else ""


def read_request(data: bytes) -> Request:
    """Parse the request; uvicorn has parsed it already, and serialized it again."""
    head, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise _no_handshake(f"more than {MAX_HEADERS} headers")
    method, target, _ = head.split(b" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(b": ")
        headers.append((name.lower(), value.strip()))
    return Request(str(method, "latin-1"), target, headers)


def accept(request: Request) -> bytes:
    """The response that opens the websocket (RFC 6455 section 4.2).

    `ServerProtocol` can do this too, but is slower, and keeps the request for as long as the
    connection lives. Raises Refused.
    """
    if request.method != "GET":
        raise _no_handshake("its method is not GET", 405)
    if request.only(b"sec-websocket-version") != "13":
        raise _no_handshake("Sec-WebSocket-Version must be 13")
    key = request.only(b"sec-websocket-key")
    if not _key.fullmatch(key):
        raise _no_handshake("Sec-WebSocket-Key must be 16 bytes in base64")
    offered = ",".join(request.values(b"sec-websocket-protocol")).split(",")
    # A client that offers no subprotocol, or only others, is served too.
    chosen = SUBPROTOCOL in [each.strip() for each in offered]
    return b"%sSec-WebSocket-Accept: %s\r\n%s\r\n" % (
        _SWITCHING,
        accept_key(key).encode(),
        _CHOSEN if chosen else b"",
    )


def read_query(request: Request) -> bytes:
    """The query string of a request for a websocket; raises Refused: 404 for any other path."""
    try:
        url = urlsplit(request.target)
    except ValueError:
        raise Refused(400, "the request's URL cannot be read") from None
    if url.path != _PATH:
        raise Refused(404, f"no websocket here; connect to {WEBSOCKET_PATH}")
    return url.query


def _no_handshake(why: str, status: int = 400) -> Refused:
    headers = [(b"sec-websocket-version", b"13")]
    return Refused(status, f"not a websocket handshake: {why}", headers)
