"""A request as the handlers see it; every part is parsed only when a handler asks for it."""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.http import SESSION_TOKEN_HEADER
from hub.net.caller import (
    Authenticator,
    Caller,
    Shown,
    authenticate,
    caller_of,
    check_query,
    read_shown,
)
from hub.net.exchange import EXCHANGE, Exchange
from hub.net.peer import plain

_NO_QUERY = QueryParams()
_SESSION_TOKEN = SESSION_TOKEN_HEADER.lower().encode()


class Request:
    """One request; `value` is the part of its path in place of `{…}`.

    `caller` is who sent it: known to the handlers of all routes but those that ask nobody.
    `principal` is known before it, and None until then.
    """

    __slots__ = ("_scope", "caller", "exchange", "method", "principal", "receive", "value")

    caller: Caller

    def __init__(self, scope: Scope, receive: Receive, value: str) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.principal: Principal | None = None
        self.receive = receive
        self.value = value
        # Removed from the scope, because it refers back to it: such a reference cycle would be left
        # to the garbage collector.
        self.exchange: Exchange | None = scope.pop("extensions", {}).get(EXCHANGE)

    def headers(self, name: bytes) -> list[str]:
        """The values of the headers of this name, which is in lower case."""
        # The parser leaves the whitespace behind a value, which is no part of it.
        return [
            str(value.strip(b" \t"), "latin-1")
            for each, value in self._scope["headers"]
            if each == name
        ]

    @property
    def session_token(self) -> str | None:
        """The session token that the caller shows; None if it shows none, or an empty one.

        Raises ProtocolError `bad_request` when it shows several.
        """
        tokens = self.headers(_SESSION_TOKEN)
        if len(tokens) > 1:
            raise ProtocolError(
                "bad_request", f"{SESSION_TOKEN_HEADER}: given twice", field=SESSION_TOKEN_HEADER
            )
        return (tokens[0] or None) if tokens else None

    @property
    def caller_gone(self) -> bool:
        """Whether the caller is known to have hung up."""
        return self.exchange is not None and self.exchange.caller_gone

    def give_up(self) -> None:
        """End its connection without an answer, or in the middle of one."""
        if self.exchange is not None:
            self.exchange.give_up()

    @property
    def query(self) -> QueryParams:
        """The query parameters; raises ProtocolError `bad_request` for more than their bounds."""
        text: bytes = self._scope["query_string"]
        if not text:
            return _NO_QUERY
        check_query(text)
        return QueryParams(text)

    @property
    def address(self) -> str:
        """Where its caller is; "" where that is not known."""
        client = self._scope.get("client")
        return plain(client[0]) if client else ""

    def shown(self, *, legacy: bool = False) -> Shown:
        """What it shows of its caller; raises ProtocolError `bad_request` as `read_shown` does."""
        return read_shown(
            self._scope["headers"],
            self._scope["query_string"],
            certificate=None if self.exchange is None else self.exchange.certificate,
            peer=self.address,
            legacy=legacy,
        )

    async def identify(self, authenticator: Authenticator, *, legacy: bool = False) -> Caller:
        """Who sent it; raises ProtocolError as `shown`, `authenticate` and `caller_of` do."""
        shown = self.shown(legacy=legacy)
        self.principal = await authenticate(authenticator, shown)
        return caller_of(self.principal, shown)
