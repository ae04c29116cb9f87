"""Every failure of the contract: error codes, close codes, and how one maps to the other.

This is the only table of failures; websocket, HTTP and the client all use it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, get_args

from msgspec import Struct

ErrorCode = Literal[
    "bad_request",
    "unknown_op",
    "unauthorized",
    "forbidden",
    "not_found",
    "conflict",
    "fenced",
    "not_registered",
    "already_registered",
    "too_large",
    "rate_limited",
    "no_match",
    "timeout",
    "unavailable",
    "internal",
]

ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)


class Failure(Struct, frozen=True):
    """What an error code means beyond its name."""

    http_status: int
    retryable: bool = False
    retry_after: float | None = None


FAILURES: dict[ErrorCode, Failure] = {
    "bad_request": Failure(400),
    "unknown_op": Failure(400),
    "unauthorized": Failure(401),
    "forbidden": Failure(403),
    "not_found": Failure(404),
    "conflict": Failure(409),
    "fenced": Failure(409),
    "not_registered": Failure(409),
    "already_registered": Failure(409),
    "too_large": Failure(413),
    "rate_limited": Failure(429, retryable=True, retry_after=1.0),
    "no_match": Failure(404, retryable=True),
    "timeout": Failure(504, retryable=True),
    "unavailable": Failure(503, retryable=True, retry_after=1.0),
    "internal": Failure(500, retryable=True),
}


class CloseCode(IntEnum):
    """Why a hub closed a websocket (RFC 6455 section 7.4, and the contract's own range)."""

    DONE = 1000
    GOING_AWAY = 1001
    TOO_LARGE = 1009
    INTERNAL = 1011
    PROTOCOL_ERROR = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    LEASE_LOST = 4408
    FENCED = 4409
    READS_TOO_SLOWLY = 4413
    RATE_LIMITED = 4429


Unknown = Literal["unknown"]
"""What an error says of a change that may have happened, or may yet happen."""


class ProtocolError(Exception):
    """A request that cannot be granted, in the contract's terms.

    `field` is the dotted path of the wrong field, if there is one; `request_id` the id of the
    request, if it could be read. `outcome` is "unknown" when what was asked for may have happened
    all the same; without it, it has not happened and will not. `retry_after` is when to ask again,
    in seconds, if that depends on more than the code.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        field: str | None = None,
        request_id: int | str | None = None,
        outcome: Unknown | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.field = field
        self.request_id = request_id
        self.outcome: Unknown | None = outcome
        failure = FAILURES[code]
        self.retry_after = failure.retry_after if retry_after is None else retry_after
        self.retryable = failure.retryable or retry_after is not None
