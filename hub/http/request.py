"""A request as the handlers see it; every part is parsed only when a handler asks for it."""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from homeport_protocol.errors import ProtocolError
from homeport_protocol.http import SESSION_TOKEN_HEADER
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_PARAMETER
from hub.net.caller import Caller, read_caller
from hub.net.exchange import EXCHANGE, Exchange

MAX_PARAMETERS = 128
"""Parameters of one query string: more than any filter within its bounds needs."""

MAX_QUERY_BYTES = 16 * 1024
"""Bytes of one query string."""

_NO_QUERY = QueryParams()
_NAMESPACE = NAMESPACE_HEADER.lower().encode()
_SESSION_TOKEN = SESSION_TOKEN_HEADER.lower().encode()


class Request:
    """One request; `value` is the part of its path in place of `{…}`."""

    __slots__ = ("_scope", "exchange", "method", "receive", "value")

    def __init__(self, scope: Scope, receive: Receive, value: str) -> None:
        self._scope = scope
        self.method: str = scope["method"]
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

    @property
    def query(self) -> QueryParams:
        """The query parameters; raises ProtocolError `bad_request` for more than their bounds."""
        text: bytes = self._scope["query_string"]
        if not text:
            return _NO_QUERY
        if len(text) > MAX_QUERY_BYTES:
            raise _too_much(f"more than {MAX_QUERY_BYTES} bytes")
        if text.count(b"&") >= MAX_PARAMETERS:
            raise _too_much(f"more than {MAX_PARAMETERS} parameters")
        return QueryParams(text)

    @property
    def caller(self) -> Caller:
        """Who sent it; raises ProtocolError `bad_request` as `read_caller` does."""
        return read_caller(
            self.headers(_NAMESPACE), lambda: self.query.getlist(NAMESPACE_PARAMETER)
        )


def _too_much(words: str) -> ProtocolError:
    return ProtocolError("bad_request", f"query: {words}", field="query")
