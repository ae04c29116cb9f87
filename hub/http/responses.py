"""Answers: mostly JSON in bytes, and the one form of every failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import UNSET, UnsetType
from starlette.types import Send

from homeport_protocol.codec import encode
from homeport_protocol.errors import FAILURES, ProtocolError, Unknown
from homeport_protocol.http import ErrorBody
from hub.net.exchange import Exchange
from hub.net.raw_response import Headers, failure_headers

JSON: Final = (b"content-type", b"application/json")
# An answer about a living fleet is outdated at once; no proxy may cache it.
NO_STORE: Final = (b"cache-control", b"no-store")


class Answer:
    """An answer; the parts of its body are sent one after the other, unchanged.

    The parts of a `long` one are made as they are sent, which waits for the caller to read.
    """

    __slots__ = ("body", "headers", "long", "status")

    def __init__(
        self,
        status: int,
        body: tuple[bytes, ...],
        headers: Headers,
        long: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.long = long
        length = () if long else ((b"content-length", b"%d" % sum(map(len, body))),)
        self.headers = (*length, *headers)

    async def send(self, send: Send, exchange: Exchange | None, *, head_only: bool) -> None:
        """Send it, in one piece if the server can; with `head_only` (for HEAD) without the body."""
        if self.long is not None and not head_only:
            await self._send_in_slices(self.long, send, exchange)
            return
        body = () if head_only else self.body
        if exchange is not None:
            await exchange.answer(self.status, self.headers, body)
            return
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )
        await send({"type": "http.response.body", "body": b"".join(body)})

    async def _send_in_slices(
        self, long: AsyncIterator[bytes], send: Send, exchange: Exchange | None
    ) -> None:
        if exchange is not None:
            await exchange.answer_in_slices(self.status, self.headers, long)
            return
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )
        async for part in long:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


def json(*body: bytes, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with JSON that is already encoded, in one part or several."""
    return Answer(status, body, (JSON, NO_STORE, *headers))


def json_in_slices(slices: AsyncIterator[bytes]) -> Answer:
    """An answer with JSON of any length, each slice of it made when the caller has read on."""
    return Answer(200, (), (JSON, NO_STORE), slices)


def refusal(
    status: int, message: str, headers: Headers = (), outcome: Unknown | UnsetType = UNSET
) -> Answer:
    """A failure in one plain sentence: `{"error": message}`, with an `outcome` that is unknown."""
    return json(encode(ErrorBody(message, outcome)), status=status, headers=headers)


def failure(error: ProtocolError) -> Answer:
    """The HTTP form of a failure of the protocol."""
    status = FAILURES[error.code].http_status
    if error.code == "too_large" and error.field is not None:
        status = 400  # for a field of the body, as in the legacy service; 413 is for the whole body
    outcome = UNSET if error.outcome is None else error.outcome
    return refusal(status, error.message, failure_headers(error), outcome)
