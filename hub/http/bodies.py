"""Request bodies: bounded in size and time, then decoded."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from homeport_protocol.codec import decode_json
from homeport_protocol.errors import ProtocolError
from hub.http.request import Request

T = TypeVar("T")


class BodyTooLargeError(ProtocolError):
    """The body has more bytes than it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__("too_large", f"the body exceeds {limit} bytes (max_body_bytes)")


class LateBodyError(Exception):
    """The body did not arrive in time."""


class CallerGoneError(Exception):
    """The caller hung up before it could be answered."""


async def read_body(
    request: Request, limit: int, type_: type[T], decoder: msgspec.json.Decoder[T]
) -> T:
    """The body as `type_`; it may have at most `limit` bytes.

    The content type is ignored, as the legacy service ignored it. Raises BodyTooLargeError,
    ProtocolError `bad_request`, LateBodyError or CallerGoneError.
    """
    # Most bodies are small and arrived with the head, so there is nothing to wait for.
    data = None if request.exchange is None else request.exchange.whole_body()
    if data is None:
        data = await _read(request, limit)
    if len(data) > limit:
        raise BodyTooLargeError(limit)
    if not data:
        raise ProtocolError("bad_request", "no body: send a JSON object")
    return decode_json(data, type_, decoder)


async def _read(request: Request, limit: int) -> bytes:
    announced = next(iter(request.headers(b"content-length")), "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise BodyTooLargeError(limit)
    body = b""
    exchange = request.exchange
    try:
        async with asyncio.timeout_at(None if exchange is None else exchange.deadline):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise CallerGoneError
                chunk: bytes = message.get("body", b"")
                body += chunk
                if len(body) > limit:
                    raise BodyTooLargeError(limit)
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise LateBodyError from None
