"""The hub's own pages: health, readiness, metrics, and the descriptions of its protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from actors.rules.permissions import EVERY_NAMESPACE, Principal, check
from homeport_protocol.codec import encode
from homeport_protocol.errors import FAILURES, ProtocolError
from homeport_protocol.http import HealthAnswer, Index, NotReady, Ready
from homeport_protocol.schemas import asyncapi, openapi
from homeport_protocol.timestamps import format_timestamp
from hub.http.ports import HubPort
from hub.http.request import Request
from hub.http.responses import Answer, json, refusal
from hub.net.raw_response import retry_after

METRICS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

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
    """The handlers of one hub."""

    def __init__(self, hub: HubPort) -> None:
        self._hub = hub

    async def index(self, request: Request) -> Answer:
        """`GET /`: what this is, and links to the other pages."""
        hub = self._hub
        return json(
            encode(Index(service="homeport", version=hub.version, hub=hub.hub_id, links=_LINKS))
        )

    async def health(self, request: Request) -> Answer:
        """`GET /health`: 200 while the process answers at all."""
        return json(encode(HealthAnswer(timestamp=format_timestamp(time.time()))))

    async def ready(self, request: Request) -> Answer:
        """`GET /ready`: 200, or 503; why, only for a caller that may read."""
        hub = self._hub
        reader = await self._reader(request)
        namespace = None if reader is None else _limit_of(reader)
        reasons = [each.phrase for each in hub.not_ready_reasons(namespace)]
        if not reasons:
            ready = Ready()
            if reader is not None:
                warnings = [each.phrase for each in hub.warnings(namespace)]
                ready = Ready(hub=hub.hub_id, version=hub.version, warnings=warnings)
            return json(encode(ready))
        body = NotReady(error="not ready: ask with a token for the reasons")
        if reader is not None:
            body = NotReady(error=f"not ready: {'; '.join(reasons)}", reasons=reasons)
        return json(
            encode(body), status=503, headers=retry_after(FAILURES["unavailable"].retry_after)
        )

    async def metrics(self, request: Request) -> Answer:
        """`GET /metrics`: Prometheus text format; of a principal's own namespace, or all."""
        namespace = _limit_of(request.caller.principal)
        return Answer(200, (await self._hub.metrics_text(namespace),), (METRICS_TYPE,))

    async def _reader(self, request: Request) -> Principal | None:
        """The principal that asks, if it may read; None also for who shows nothing, or a lie.

        A load balancer shows nothing. That is no refused caller, and is neither counted nor logged.
        """
        authenticator = self._hub.authenticator
        if authenticator.asks and not request.shown().shows_any:
            return None
        try:
            principal = (await request.identify(authenticator)).principal
            check(principal, "read")
        except ProtocolError:
            return None
        return principal

    async def openapi(self, request: Request) -> Answer:
        """`GET /openapi.json`: the description of the HTTP routes."""
        return json(_encoded(openapi))

    async def asyncapi(self, request: Request) -> Answer:
        """`GET /asyncapi.json`: the description of the websocket."""
        return json(_encoded(asyncapi))

    async def websocket(self, request: Request) -> Answer:
        """`GET /ws` without an upgrade: 426."""
        return refusal(
            426,
            "this is a websocket: connect with a websocket client",
            ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
        )


def _limit_of(principal: Principal) -> str | None:
    """The one namespace that the principal may know of; None for all."""
    return None if principal.namespace == EVERY_NAMESPACE else principal.namespace
