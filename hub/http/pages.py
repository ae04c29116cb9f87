"""The hub's own pages: is it well, what does it count, what does it speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub.http.port import HubPort
from hub.http.replies import Json, refusal, retry_after
from protocol.codec import encode
from protocol.errors import FAILURES
from protocol.http import HealthAnswer, Index, NotReady, Ready
from protocol.schemas import asyncapi, openapi
from protocol.timestamps import format_timestamp

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LINKS = {
    "agents": "/agents",
    "websocket": "/ws",
    "health": "/health",
    "ready": "/ready",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
}


@cache
def _encoded(document: Callable[[], dict[str, Any]]) -> bytes:
    return encode(document())


class Pages:
    """Handlers of one hub."""

    def __init__(self, hub: HubPort) -> None:
        self._hub = hub

    async def index(self, request: Request) -> Json:
        """`GET /`: what this is, and where to go on."""
        hub = self._hub
        return Json(
            encode(Index(service="homeport", version=hub.version, hub=hub.hub_id, links=_LINKS))
        )

    async def health(self, request: Request) -> Json:
        """`GET /health`: 200 for as long as the process answers at all."""
        return Json(encode(HealthAnswer(timestamp=format_timestamp(time.time()))))

    async def ready(self, request: Request) -> Json:
        """`GET /ready`: 200, or 503 with the reasons."""
        reasons = self._hub.not_ready_reasons()
        if not reasons:
            hub = self._hub
            ready = Ready(hub=hub.hub_id, version=hub.version, warnings=hub.warnings())
            return Json(encode(ready))
        body = NotReady(error=f"not ready: {'; '.join(reasons)}", reasons=reasons)
        return Json(encode(body), 503, retry_after(FAILURES["unavailable"].retry_after))

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`: Prometheus text format."""
        return Response(self._hub.metrics.text(), headers={"content-type": METRICS_TYPE})

    async def openapi(self, request: Request) -> Json:
        """`GET /openapi.json`: the HTTP side, described."""
        return Json(_encoded(openapi))

    async def asyncapi(self, request: Request) -> Json:
        """`GET /asyncapi.json`: the websocket side, described."""
        return Json(_encoded(asyncapi))

    async def websocket(self, request: Request) -> Json:
        """`GET /ws` that asks for no upgrade: 426."""
        return refusal(
            426,
            "this is a websocket: connect with a websocket client",
            ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
        )
