"""Answers: mostly JSON in bytes, and the one form of every failure."""

from __future__ import annotations

from typing import Final

from starlette.types import Send

from homeport_protocol.codec import encode
from homeport_protocol.errors import FAILURES, ProtocolError
from homeport_protocol.http import ErrorBody
from hub.net.exchange import Exchange
from hub.net.raw_response import Headers, retry_after

JSON: Final = (b"content-type", b"application/json")
# An answer about a living fleet is outdated at once; no proxy may cache it.
NO_STORE: Final = (b"cache-control", b"no-store")


class Answer:
    """An answer; the parts of its body are sent one after the other, unchanged."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: tuple[bytes, ...], headers: Headers) -> None:
        self.status = status
        self.body = body
        self.headers = ((b"content-length", b"%d" % sum(map(len, body))), *headers)

    async def send(self, send: Send, exchange: Exchange | None, *, head_only: bool) -> None:
        """Send it, in one piece if the server can; with `head_only` (for HEAD) without the body."""
        body = () if head_only else self.body
        if exchange is not None:
            await exchange.answer(self.status, self.headers, body)
            return
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )
        await send({"type": "http.response.body", "body": b"".join(body)})


def json(*body: bytes, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with JSON that is already encoded, in one part or several."""
    return Answer(status, body, (JSON, NO_STORE, *headers))


def refusal(status: int, message: str, headers: Headers = ()) -> Answer:
    """A failure in one plain sentence: `{"error": message}`."""
    return json(encode(ErrorBody(message)), status=status, headers=headers)


def failure(error: ProtocolError) -> Answer:
    """The HTTP form of a failure of the protocol, with `Retry-After` where waiting helps."""
    known = FAILURES[error.code]
    status = known.http_status
    if error.code == "too_large" and error.field is not None:
        status = 400  # for a field of the body, as in the legacy service; 413 is for the whole body
    return refusal(status, error.message, retry_after(known.retry_after))
