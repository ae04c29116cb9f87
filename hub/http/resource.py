"""A path of the API: which methods it has, and how every one of them can end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.http.bodies import LateBodyError
from hub.http.replies import Json, failure, refusal
from hub.metrics import Metrics
from protocol.errors import ProtocolError

Handler = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger("hub.http")


class Resource:
    """ASGI application of one path; `HEAD` is answered wherever `GET` is."""

    def __init__(self, path: str, handlers: dict[str, Handler], metrics: Metrics) -> None:
        self.path = path
        self.methods = frozenset(handlers) | ({"HEAD"} if "GET" in handlers else frozenset())
        self._handlers = handlers
        self._metrics = metrics
        self._allow = ", ".join(sorted(self.methods)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; only a caller that has gone gets no answer."""
        began = time.perf_counter()
        method = scope["method"]
        try:
            response = await self._answer(method, Request(scope, receive))
        except ClientDisconnect:
            return
        self._metrics.http_answered(
            self.path, method, response.status_code, time.perf_counter() - began
        )
        if method == "HEAD":
            # The headers are those of GET, its length included; the body stays here.
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, method: str, request: Request) -> Response:
        handler = self._handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            return self._wrong_method(method)
        try:
            return await handler(request)
        except ProtocolError as error:
            return failure(error)
        except LateBodyError:
            return refusal(408, "the body did not come in time")
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("request_failed", method=method, route=self.path)
            return refusal(500, "internal error")

    def _wrong_method(self, method: str) -> Json:
        allowed = self._allow.decode()
        return refusal(
            405, f"{method[:32]} is not allowed here, only {allowed}", ((b"allow", self._allow),)
        )


class NoRoute:
    """ASGI application of every path that is none of the API's."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404; a websocket that came here is refused the same way."""
        if scope["type"] == "http":
            self._metrics.http_answered("unmatched", scope["method"], 404, 0.0)
        response = refusal(404, "no such route; /openapi.json lists them all")
        if scope.get("method") == "HEAD":
            response.body = b""
        await response(scope, receive, send)


class TrailingSlash:
    """ASGI middleware: `/agents/` is `/agents`, without a redirect.

    The legacy service redirected, and clients that followed it send such paths still.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its path trimmed."""
        if scope["type"] == "http" and scope["path"].endswith("/") and scope["path"] != "/":
            scope["path"] = scope["path"][:-1]
        await self.app(scope, receive, send)
