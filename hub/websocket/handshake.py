"""The opening handshake: which upgrade requests become websockets, and the words to the others."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.utils import accept_key

from actors.ports.link import Link
from homeport_protocol.bounds import NAMESPACE
from homeport_protocol.errors import FAILURES, ProtocolError
from hub.net.raw_response import HeaderLines
from hub.websocket.ports import WebsocketHub, WebsocketSession

PATH = "/ws"
SUBPROTOCOL = "homeport.v1"
NAMESPACE_HEADER = "Homeport-Namespace"
DEFAULT_NAMESPACE = "default"

_namespace = re.compile(NAMESPACE)
_key = re.compile("[A-Za-z0-9+/]{22}==")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_CHOSEN = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n".encode()

MAX_HEADERS = 128


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """The upgrade is refused with an HTTP status and one plain sentence."""

    def __init__(self, status: int, message: str, headers: HeaderLines = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def open_websocket(
    request: bytes, hub: WebsocketHub, link: Link
) -> tuple[str, WebsocketSession, bytes]:
    """Answer an upgrade request: its namespace, the session, and the response in bytes.

    Raises Refused when the request is none of ours; the caller then writes `error_response`.
    """
    asked = read_request(request)
    namespace = read_namespace(asked)
    if not hub.accepting:
        raise Refused(503, "the hub is going away; try again", [(b"retry-after", b"1")])
    response = accept(asked)
    try:
        session = hub.session(namespace, link)
    except ProtocolError as error:
        failure = FAILURES[error.code]
        after = failure.retry_after
        headers = [] if after is None else [(b"retry-after", b"%d" % max(1, round(after)))]
        raise Refused(failure.http_status, error.message, headers) from None
    return namespace, session, response


class Request(NamedTuple):
    """An upgrade request; `headers` by their names in lower case, each with all its values."""

    method: str
    target: str
    headers: dict[str, list[str]]

    def only(self, name: str) -> str:
        """The value of a header that may be there once; "" when it is not, or more than once."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


def read_request(data: bytes) -> Request:
    """The request, which uvicorn has parsed, found to be an upgrade, and written down again."""
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

    `ServerProtocol` can do this too; but it is slower, and one that did keeps the request for as
    long as the connection lives. Raises Refused.
    """
    if request.method != "GET":
        raise _no_handshake("its method is not GET", 405)
    if request.only("sec-websocket-version") != "13":
        raise _no_handshake("Sec-WebSocket-Version must be 13")
    key = request.only("sec-websocket-key")
    if not _key.fullmatch(key):
        raise _no_handshake("Sec-WebSocket-Key must be 16 bytes in base64")
    offered = ",".join(request.headers.get("sec-websocket-protocol", ())).split(",")
    # A client that offers none, or only others, is served as well.
    chosen = SUBPROTOCOL in [each.strip() for each in offered]
    return b"%sSec-WebSocket-Accept: %s\r\n%s\r\n" % (
        _SWITCHING,
        accept_key(key).encode(),
        _CHOSEN if chosen else b"",
    )


def _queried(query: str) -> list[str]:
    """The namespaces that a query string names, or the default one."""
    if not query:
        return [DEFAULT_NAMESPACE]
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "the query string has too many fields") from None
    return fields.get("namespace", [DEFAULT_NAMESPACE])


def _no_handshake(why: str, status: int = 400) -> Refused:
    headers = [(b"sec-websocket-version", b"13")]
    return Refused(status, f"not a websocket handshake: {why}", headers)


def read_namespace(request: Request) -> str:
    """The namespace that the upgrade request names, by header or else by query parameter.

    Raises Refused: 404 for any path but `/ws`, 400 for a bad or ambiguous name.
    """
    try:
        url = urlsplit(request.target)
    except ValueError:
        raise Refused(400, "the request's URL cannot be read") from None
    if url.path != PATH:
        raise Refused(404, f"no websocket here; connect to {PATH}")
    names = request.headers.get(NAMESPACE_HEADER.lower()) or _queried(url.query)
    if len(names) > 1:
        raise Refused(400, "the request names more than one namespace")
    name = names[0]
    if not _namespace.fullmatch(name):
        raise Refused(
            400,
            f"namespace {name[:80]!r} is not a valid name: letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit, 63 characters at most",
        )
    return name
