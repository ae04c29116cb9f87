"""A whole HTTP/1.1 response in bytes, for a connection that no HTTP server answers any more."""

from __future__ import annotations

import http
import json
from collections.abc import Iterable

HeaderLines = Iterable[tuple[bytes, bytes]]


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
