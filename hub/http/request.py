"""A request as the handlers see it: nothing is looked at before a route asks for it."""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from hub.net.exchange import EXCHANGE, Exchange

_NO_QUERY = QueryParams()


class Request:
    """One request; `value` is what its path has in the place of `{…}`."""

    __slots__ = ("_scope", "exchange", "method", "receive", "value")

    def __init__(self, scope: Scope, receive: Receive, value: str) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.receive = receive
        self.value = value
        # Taken away, since it holds the scope: a ring of the two is left to the garbage collector.
        self.exchange: Exchange | None = scope.pop("extensions", {}).get(EXCHANGE)

    def header(self, name: bytes) -> str | None:
        """The header of this name, in small letters; the first of several."""
        for each, value in self._scope["headers"]:
            if each == name:
                return str(value, "latin-1")
        return None

    @property
    def caller_gone(self) -> bool:
        """Whether the caller is known to have hung up."""
        return self.exchange is not None and self.exchange.caller_gone

    @property
    def query(self) -> QueryParams:
        """The query parameters."""
        text = self._scope["query_string"]
        return QueryParams(text) if text else _NO_QUERY

    @property
    def namespace(self) -> str:
        """The name of the namespace that is meant."""
        name = self.header(b"homeport-namespace")
        return self.query.get("namespace", "default") if name is None else name
