"""The opening handshake: which upgrade requests become websockets, and the words to the others."""

from __future__ import annotations

import http
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocol.bounds import NAMESPACE
from protocol.errors import FAILURES, ProtocolError

if TYPE_CHECKING:
    from actors.ports import Link
    from hub.gateway import GatewayPort, WebsocketSession

PATH = "/ws"
SUBPROTOCOL = Subprotocol("homeport.v1")
NAMESPACE_HEADER = "Homeport-Namespace"
DEFAULT_NAMESPACE = "default"

_namespace = re.compile(NAMESPACE)

MAX_HEADERS = 128

HeaderLines = Iterable[tuple[bytes, bytes]]


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """The upgrade is refused with an HTTP status and one plain sentence."""

    def __init__(self, status: int, message: str, headers: HeaderLines = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def open_websocket(
    request: bytes, port: GatewayPort, link: Link
) -> tuple[str, WebsocketSession, bytes]:
    """Answer an upgrade request: its namespace, the session, and the response in bytes.

    Raises Refused when the request is none of ours; the caller then writes `error_response`.
    """
    asked = read_request(request)
    namespace = read_namespace(asked)
    if not port.accepting:
        raise Refused(503, "the hub is going away; try again", [(b"retry-after", b"1")])
    response = _handshakes.accept(asked)
    if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
        raise Refused(
            response.status_code,
            f"not a websocket handshake: {_handshakes.handshake_exc}",
            [(b"sec-websocket-version", b"13")],
        )
    try:
        session = port.session(namespace, link)
    except ProtocolError as error:
        failure = FAILURES[error.code]
        after = failure.retry_after
        headers = [] if after is None else [(b"retry-after", b"%d" % max(1, round(after)))]
        raise Refused(failure.http_status, error.message, headers) from None
    return namespace, session, response.serialize()


def error_response(status: int, message: str, headers: HeaderLines = ()) -> bytes:
    """A whole HTTP/1.1 response with the body `{"error": message}`, after which we close."""
    body = json.dumps({"error": message}).encode()
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, http.HTTPStatus(status).phrase.encode())]
    lines += [b"%s: %s\r\n" % header for header in headers]
    lines.append(
        b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        % len(body)
    )
    lines.append(body)
    return b"".join(lines)


def read_request(data: bytes) -> Request:
    """The upgrade request, which uvicorn has parsed, found valid, and written down again."""
    head, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(lines) > MAX_HEADERS:
        raise Refused(400, f"not a websocket handshake: more than {MAX_HEADERS} headers")
    method, path, version = head.split(" ")
    headers = Headers(line.partition(": ")[::2] for line in lines)
    return Request(path, headers, method, version)


def read_namespace(request: Request) -> str:
    """The namespace that the upgrade request names, by header or else by query parameter.

    Raises Refused: 404 for any path but `/ws`, 400 for a bad or ambiguous name.
    """
    try:
        url = urlsplit(request.path)
    except ValueError:
        raise Refused(400, "the request's URL cannot be read") from None
    if url.path != PATH:
        raise Refused(404, f"no websocket here; connect to {PATH}")
    try:
        query = parse_qs(url.query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "the query string has too many fields") from None
    names = request.headers.get_all(NAMESPACE_HEADER) or query.get("namespace", [DEFAULT_NAMESPACE])
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


def _select_subprotocol(
    _protocol: ServerProtocol, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Ours when it is offered; a client that offers none, or only others, is served as well."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


_handshakes = ServerProtocol(select_subprotocol=_select_subprotocol)
"""Answers all requests: one of a connection's own would hold the request for as long as it lives.

What it keeps of one request, nobody asks for when the next one comes.
"""
