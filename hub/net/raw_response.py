"""Responses in bytes, for connections that the HTTP application does not answer."""

from __future__ import annotations

import http
import json
import math
from collections.abc import Iterable

from homeport_protocol.errors import ProtocolError

Headers = Iterable[tuple[bytes, bytes]]

CHALLENGE = (b"www-authenticate", b'Bearer realm="homeport"')
"""What every 401 has (RFC 9110, section 15.5.2)."""


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """A request is refused with an HTTP status and one plain sentence."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def retry_after(seconds: float | None) -> tuple[tuple[bytes, bytes], ...]:
    """The `Retry-After` header, in whole seconds, rounded up and at least 1; none for None."""
    if seconds is None:
        return ()
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)


def failure_headers(error: ProtocolError) -> Headers:
    """The headers of a failure: when to ask again, where waiting helps; how to show who one is."""
    if error.code == "unauthorized":
        return (*retry_after(error.retry_after), CHALLENGE)
    return retry_after(error.retry_after)


def error_response(status: int, message: str, headers: Headers = ()) -> bytes:
    """A whole HTTP/1.1 response with the body `{"error": message}`; the caller then closes."""
    body = json.dumps({"error": message}).encode()
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, http.HTTPStatus(status).phrase.encode())]
    lines += [b"%s: %s\r\n" % header for header in headers]
    lines.append(
        b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        % len(body)
    )
    lines.append(body)
    return b"".join(lines)
