"""Responses: JSON bytes with few headers, and the one form of every failure."""

from __future__ import annotations

import math

from starlette.responses import Response

from protocol.codec import encode
from protocol.errors import FAILURES, ProtocolError
from protocol.http import ErrorBody

Headers = tuple[tuple[bytes, bytes], ...]

_JSON = (b"content-type", b"application/json")
# An answer about a living fleet is stale at once; no proxy may keep it.
_NO_STORE = (b"cache-control", b"no-store")


class Json(Response):
    """JSON that is already encoded."""

    media_type = "application/json"

    def __init__(self, body: bytes, status_code: int = 200, headers: Headers = ()) -> None:
        # Without Response.__init__: every header is known here, and this runs for every request.
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            _JSON,
            _NO_STORE,
            *headers,
        ]


def refusal(status_code: int, message: str, headers: Headers = ()) -> Json:
    """A failure in one plain sentence: `{"error": message}`."""
    return Json(encode(ErrorBody(message)), status_code, headers)


def failure(error: ProtocolError) -> Json:
    """The HTTP form of a failure of the protocol, with `Retry-After` where waiting helps."""
    known = FAILURES[error.code]
    status = known.http_status
    if error.code == "too_large" and error.field is not None:
        status = 400  # a field of the body, as the legacy refused it; 413 is for the body itself
    return refusal(status, error.message, retry_after(known.retry_after))


def retry_after(seconds: float | None) -> Headers:
    """The `Retry-After` header, in whole seconds and at least one; none for None."""
    if seconds is None:
        return ()
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)
