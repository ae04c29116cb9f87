"""The exceptions of this package: one class for each error code of the contract, and a few more.

Every exception is a `HomeportError`. `retryable` says whether the same call may succeed later
without a change; `retry_after` how many seconds a hub asked to wait, if it did; `field` is the
dotted path of the field at fault, if there is one; `url` that of the hub concerned, and `proxy`
that of the proxy in between, both without secrets. `outcome` is "unknown" when what was asked for
may have happened all the same: the hub said so, or the connection ended before the answer. A
refusal without it has changed nothing. `final` is true when a client that had worked has stopped
for good: its token was revoked or has run out, or it may not register any more.
"""

# ruff: noqa: N818 - the names are the contract's error codes, so none ends in "Error"

from __future__ import annotations

import re
from typing import Self

from homeport_protocol.errors import FAILURES, CloseCode, ErrorCode, ProtocolError, Unknown

_RETRY_HINT = re.compile(r"retry in (\d+(?:\.\d+)?) ?s\b")

LONGEST_HINT = 30.0
"""Seconds; a `retry_after`, of a hub or of a proxy in front of it, counts up to this."""


class HomeportError(Exception):
    """The base class; raised itself only for an error code that this client does not know."""

    code: str = ""
    outcome: Unknown | None = None
    final: bool = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        field: str | None = None,
        code: str | None = None,
        outcome: Unknown | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.message = message
        self.retryable = _is_retryable(self.code) if retryable is None else retryable
        self.retry_after = None if retry_after is None else min(max(retry_after, 0.0), LONGEST_HINT)
        self.field = field
        if outcome is not None:
            self.outcome = outcome
        self.url: str | None = None
        self.proxy: str | None = None

    def at(self, url: str, proxy: str | None) -> Self:
        """Note the hub, and the proxy before it, which the message then names as well."""
        self.url = url
        if proxy is not None and self.proxy is None:
            self.proxy = proxy
            if proxy not in self.message:
                self.message += f" (through the proxy {proxy})"
                self.args = (self.message,)
        return self

    @property
    def located(self) -> str:
        """The message, with the hub's URL in front unless the message holds it."""
        if self.url is None or self.url in self.message:
            return self.message
        return f"{self.url}: {self.message}"


class BadRequest(HomeportError):
    """A value is missing, of the wrong type or out of bounds; `field` names it."""

    code = "bad_request"


class UnknownOp(HomeportError):
    """The hub does not know this request: it is older than this client."""

    code = "unknown_op"


class Unauthorized(HomeportError):
    """The token is missing, wrong or no longer valid."""

    code = "unauthorized"


class Forbidden(HomeportError):
    """The token is valid, but does not allow this."""

    code = "forbidden"


class NotFound(HomeportError):
    """No agent has this id."""

    code = "not_found"


class Conflict(HomeportError):
    """The request contradicts the current state."""

    code = "conflict"


class Fenced(HomeportError):
    """A newer session registered under this agent's id; this one is over for good."""

    code = "fenced"


class NotRegistered(HomeportError):
    """The connection has registered no agent."""

    code = "not_registered"


class AlreadyRegistered(HomeportError):
    """The connection has registered an agent already."""

    code = "already_registered"


class TooLarge(HomeportError):
    """A message or the metadata exceeds its bound."""

    code = "too_large"


class RateLimited(HomeportError):
    """Too many requests; wait `retry_after` seconds."""

    code = "rate_limited"


class NoMatch(HomeportError):
    """No agent matches that could be picked now."""

    code = "no_match"


class Timeout(HomeportError):
    """No answer in time; whether the request took effect is unknown."""

    code = "timeout"
    outcome = "unknown"


class Unavailable(HomeportError):
    """The hub cannot do this now: its Redis is unavailable, or the hub is starting or stopping."""

    code = "unavailable"


class Internal(HomeportError):
    """The hub failed, or its answer does not fit the request."""

    code = "internal"


class AgentRemoved(HomeportError):
    """This agent was removed by an operator, or unregistered elsewhere; its session is over."""

    def __init__(self) -> None:
        super().__init__("the agent was removed, by an operator or elsewhere", retryable=False)


class BadURL(HomeportError):
    """A hub's URL cannot be used."""


class CannotConnect(HomeportError):
    """No connection to a hub could be made.

    `broken` is true when one broke during the handshake: nobody refused it.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, broken: bool = False
    ) -> None:
        super().__init__(message, retryable=True, retry_after=retry_after)
        self.broken = broken


class ConnectionLost(HomeportError):
    """The connection ended before the answer arrived; whether the request took effect is unknown.

    `close_code` is the websocket close code, None when the connection broke without one.
    `elsewhere` is true when other hubs are the better choice, because this one goes away, failed
    or fell silent.
    """

    outcome = "unknown"

    def __init__(
        self,
        message: str,
        *,
        close_code: int | None = None,
        retry_after: float | None = None,
        retryable: bool = True,
        elsewhere: bool = False,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.close_code = close_code
        self.elsewhere = elsewhere


BY_CODE: dict[ErrorCode, type[HomeportError]] = {
    "bad_request": BadRequest,
    "unknown_op": UnknownOp,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "conflict": Conflict,
    "fenced": Fenced,
    "not_registered": NotRegistered,
    "already_registered": AlreadyRegistered,
    "too_large": TooLarge,
    "rate_limited": RateLimited,
    "no_match": NoMatch,
    "timeout": Timeout,
    "unavailable": Unavailable,
    "internal": Internal,
}
"""The one table from a code on the wire to its exception."""

_BY_CLOSE_CODE: dict[int, type[HomeportError]] = {
    CloseCode.TOO_LARGE: TooLarge,
    CloseCode.UNAUTHORIZED: Unauthorized,
    CloseCode.FORBIDDEN: Forbidden,
    CloseCode.FENCED: Fenced,
    CloseCode.RATE_LIMITED: RateLimited,
}


_ELSEWHERE = frozenset({CloseCode.GOING_AWAY, CloseCode.INTERNAL, 1012, 1013})
"""Close codes after which another hub is tried first.

The numbers come from a proxy in front of a hub: "service restart" and "try again later" in IANA's
registry of close codes.
"""


def refused(
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
    field: str | None = None,
    outcome: Unknown | None = None,
) -> HomeportError:
    """The exception for an error answer; a newer hub's unknown code gives a `HomeportError`."""
    type_: type[HomeportError] = BY_CODE.get(code, HomeportError)  # type: ignore[call-overload]
    return type_(
        message,
        retryable=retryable,
        retry_after=retry_after,
        field=field,
        code=code,
        outcome=outcome,
    )


def from_protocol(error: ProtocolError) -> HomeportError:
    """The exception for a failure found before anything was sent."""
    return refused(error.code, error.message, field=error.field)


def closed(code: int | None, reason: str) -> HomeportError:
    """The exception for a connection closed with `code`; None when it broke without one."""
    hint = _RETRY_HINT.search(reason)
    retry_after = float(hint.group(1)) if hint else None
    type_ = _BY_CLOSE_CODE.get(code) if code is not None else None
    if type_ is not None:
        words = reason or f"the hub closed the connection ({code})"
        return type_(words, retry_after=retry_after, outcome="unknown")
    if code is None:
        return ConnectionLost("the connection to the hub broke")
    words = f"the hub closed the connection ({code}{', ' + reason if reason else ''})"
    return ConnectionLost(
        words, close_code=code, retry_after=retry_after, elsewhere=code in _ELSEWHERE
    )


def _is_retryable(code: str) -> bool:
    failure = FAILURES.get(code)  # type: ignore[call-overload]
    return failure is not None and failure.retryable
