"""Responses in bytes, for connections that the HTTP application does not answer."""

from __future__ import annotations

import http
import json
import math
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def retry_after(seconds: float | None) -> tuple[tuple[bytes, bytes], ...]:
    """The `Retry-After` header, in whole seconds, rounded up and at least 1; none for None."""
    if seconds is None:
        return ()
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)


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
