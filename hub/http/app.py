"""The HTTP application: every route of the contract on one Starlette app."""

from __future__ import annotations

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.http.agents import AgentRoutes
from hub.http.pages import Pages
from hub.http.port import HubPort
from hub.http.replies import refusal
from hub.http.resource import Handler, NoRoute, Resource, TrailingSlash

_log = structlog.get_logger("hub.http")


def build_app(hub: HubPort) -> Starlette:
    """The application that serves `hub`; websockets are not its business, but the gateway's.

    Every request is answered, every failure as `{"error": "…"}`, and nothing is redirected.
    """
    app = Starlette(
        routes=[
            # Starlette asks the routes in turn: the busiest first, fixed names before `{id}`.
            _route(hub, path, handlers)
            for path, handlers in _resources(hub).items()
        ],
        middleware=[Middleware(TrailingSlash)],
        exception_handlers={Exception: _internal_error},
    )
    app.router.redirect_slashes = False
    app.router.default = NoRoute(hub.metrics)
    return app


def _resources(hub: HubPort) -> dict[str, dict[str, Handler]]:
    agents = AgentRoutes(hub)
    pages = Pages(hub)
    return {
        "/agents/type/{type}": {"GET": agents.list_type},
        "/agents/{id}/heartbeat": {"POST": agents.heartbeat},
        "/agents": {"GET": agents.list_all},
        "/agents/register": {"POST": agents.register},
        "/agents/pick": {"GET": agents.pick},
        "/agents/{id}": {"GET": agents.get},
        "/agents/{id}/unregister": {"POST": agents.unregister},
        "/health": {"GET": pages.health},
        "/ready": {"GET": pages.ready},
        "/metrics": {"GET": pages.metrics},
        "/openapi.json": {"GET": pages.openapi},
        "/asyncapi.json": {"GET": pages.asyncapi},
        "/ws": {"GET": pages.websocket},
        "/": {"GET": pages.index},
    }


def _route(hub: HubPort, path: str, handlers: dict[str, Handler]) -> Route:
    return Route(path, Resource(path, handlers, hub.metrics), name=path)


async def _internal_error(request: Request, error: Exception) -> Response:
    # Only a fault of the application's own frame comes here; a Resource answers its handlers'.
    _log.error("request_failed", method=request.method, exc_info=error)
    return refusal(500, "internal error")
