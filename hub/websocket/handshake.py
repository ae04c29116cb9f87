"""The opening handshake: which upgrade requests become websockets, and how others are refused."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.utils import accept_key

from actors.ports.link import Link
from homeport_protocol.errors import FAILURES, ProtocolError
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_PARAMETER
from homeport_protocol.websocket import SUBPROTOCOL, WEBSOCKET_PATH
from hub.net.caller import read_caller
from hub.net.raw_response import Headers, retry_after
from hub.websocket.ports import WebsocketHub, WebsocketSession

_key = re.compile("[A-Za-z0-9+/]{22}==")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_CHOSEN = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n".encode()

MAX_HEADERS = 128


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """The upgrade is refused with an HTTP status and one plain sentence."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def open_websocket(
    request: bytes, hub: WebsocketHub, link: Link
) -> tuple[str, WebsocketSession, bytes]:
    """Answer an upgrade request: its namespace, the session, and the response in bytes.

    Raises Refused; the connection then writes `error_response`.
    """
    asked = read_request(request)
    query = read_query(asked)
    try:
        caller = read_caller(
            asked.headers.get(NAMESPACE_HEADER.lower(), ()), lambda: _namespaces(query)
        )
        if not hub.accepting:
            raise Refused(503, "the hub is going away; try again", retry_after(1))
        response = accept(asked)
        session = hub.session(caller, link)
    except ProtocolError as error:
        failure = FAILURES[error.code]
        raise Refused(
            failure.http_status, error.message, retry_after(failure.retry_after)
        ) from None
    return caller.namespace, session, response


class Request(NamedTuple):
    """An upgrade request; `headers` maps names in lower case to all their values."""

    method: str
    target: str
    headers: dict[str, list[str]]

    def only(self, name: str) -> str:
        """The value of a header that may occur once; "" when it is absent or occurs again."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


def read_request(data: bytes) -> Request:
    """Parse the request; uvicorn has parsed it already, and serialized it again."""
    head, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(lines) > MAX_HEADERS:
        raise _no_handshake(f"more than {MAX_HEADERS} headers")
    method, target, _ = head.split(" ")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value.strip())
    return Request(method, target, headers)


def accept(request: Request) -> bytes:
    """The response that opens the websocket (RFC 6455 section 4.2).

    `ServerProtocol` can do this too, but is slower, and keeps the request for as long as the
    connection lives. Raises Refused.
    """
    if request.method != "GET":
        raise _no_handshake("its method is not GET", 405)
    if request.only("sec-websocket-version") != "13":
        raise _no_handshake("Sec-WebSocket-Version must be 13")
    key = request.only("sec-websocket-key")
    if not _key.fullmatch(key):
        raise _no_handshake("Sec-WebSocket-Key must be 16 bytes in base64")
    offered = ",".join(request.headers.get("sec-websocket-protocol", ())).split(",")
    # A client that offers no subprotocol, or only others, is served too.
    chosen = SUBPROTOCOL in [each.strip() for each in offered]
    return b"%sSec-WebSocket-Accept: %s\r\n%s\r\n" % (
        _SWITCHING,
        accept_key(key).encode(),
        _CHOSEN if chosen else b"",
    )


def read_query(request: Request) -> str:
    """The query string of a request for a websocket; raises Refused: 404 for any other path."""
    try:
        url = urlsplit(request.target)
    except ValueError:
        raise Refused(400, "the request's URL cannot be read") from None
    if url.path != WEBSOCKET_PATH:
        raise Refused(404, f"no websocket here; connect to {WEBSOCKET_PATH}")
    return url.query


def _namespaces(query: str) -> list[str]:
    """The values of the parameter that names the namespace."""
    if not query:
        return []
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "the query string has too many fields") from None
    return fields.get(NAMESPACE_PARAMETER, [])


def _no_handshake(why: str, status: int = 400) -> Refused:
    headers = [(b"sec-websocket-version", b"13")]
    return Refused(status, f"not a websocket handshake: {why}", headers)
