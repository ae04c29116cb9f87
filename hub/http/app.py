"""The HTTP application: every route of the contract.

It is plain ASGI: the routing of a framework takes longer than a whole handler.
"""

from __future__ import annotations

from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from hub.http.agents import AgentRoutes
from hub.http.login import LoginRoutes
from hub.http.pages import Pages
from hub.http.ports import HubPort
from hub.http.responses import refusal
from hub.http.route import Endpoint, Route
from hub.http.tokens import TokenRoutes
from hub.telemetry import logs

logger = logs.get("hub.http")


class App:
    """The application that serves a hub; the gateway serves its websockets.

    Every request is answered, every failure is `{"error": "…"}`, and nothing is redirected.
    """

    def __init__(self, hub: HubPort) -> None:
        self._metrics = hub.metrics
        self.resources = [
            Route(path, endpoints, hub) for path, endpoints in _endpoints(hub).items()
        ]
        self._fixed = {each.path: each for each in self.resources if "{" not in each.path}
        self._open: list[tuple[str, str, Route]] = []
        """Routes with the parts of their paths before and after `{…}`; the first match counts."""
        for each in self.resources:
            if "{" in each.path:
                before, _, rest = each.path.partition("{")
                self._open.append((before, rest.partition("}")[2], each))

    @property
    def pages(self) -> list[str]:
        """The paths of what anybody may see, to which links on other sites may lead."""
        return [
            each.path
            for each in self.resources
            if "{" not in each.path and all(point.act is None for point in each.endpoints.values())
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            resource, value = self._find(scope["raw_path"].decode("ascii", "replace"))
            if resource is not None:
                await resource.serve(scope, receive, send, value)
                return
            self._metrics.http_answered("unmatched", scope["method"], 404, 0.0)
            answer = refusal(404, "no such route; /openapi.json lists them all")
        except Exception:
            # Only a bug in this method gets here; a Route answers errors of its handlers.
            logger.exception("request_failed", method=scope["method"])
            answer = refusal(500, "internal error")
        await answer.send(send, None, head_only=scope["method"] == "HEAD")

    def _find(self, path: str) -> tuple[Route | None, str]:
        """The route for a path as it was sent, and the decoded part of it in place of `{…}`.

        Only that part is decoded: a proxy that decides by path would take `/%61gents` for another.
        """
        if path.endswith("/") and path != "/":
            # The legacy service redirected such paths; its callers still send them.
            path = path[:-1]
        resource = self._fixed.get(path)
        if resource is not None:
            return resource, ""
        for before, behind, resource in self._open:
            if path.startswith(before) and path.endswith(behind):
                value = path[len(before) : len(path) - len(behind)]
                if value and "/" not in value:
                    return resource, unquote(value)
        return None, ""


def _endpoints(hub: HubPort) -> dict[str, dict[str, Endpoint]]:
    agents = AgentRoutes(hub)
    pages = Pages(hub)
    tokens = TokenRoutes(hub)
    login = LoginRoutes(hub)
    return {
        "/agents": {"GET": Endpoint(agents.list_all, "read", legacy=True)},
        "/agents/register": {"POST": Endpoint(agents.register, "register", legacy=True)},
        "/agents/pick": {"GET": Endpoint(agents.pick, "pick")},
        # Of two that match a path, the first counts.
        "/agents/type/{type}": {"GET": Endpoint(agents.list_type, "read", legacy=True)},
        "/agents/{id}/heartbeat": {"POST": Endpoint(agents.heartbeat, "change", legacy=True)},
        "/agents/{id}": {
            "GET": Endpoint(agents.get, "read", legacy=True),
            "DELETE": Endpoint(agents.remove, "remove"),
        },
        "/agents/{id}/unregister": {"POST": Endpoint(agents.unregister, "end", legacy=True)},
        "/tokens": {
            "GET": Endpoint(tokens.list_all, "administer_tokens"),
            "POST": Endpoint(tokens.create, "administer_tokens"),
        },
        "/tokens/{id}": {
            "GET": Endpoint(tokens.show, "administer_tokens"),
            "DELETE": Endpoint(tokens.revoke, "administer_tokens"),
        },
        "/login": {"POST": Endpoint(login.log_in, None)},
        "/logout": {"POST": Endpoint(login.log_out, None)},
        "/health": {"GET": Endpoint(pages.health, None)},
        "/ready": {"GET": Endpoint(pages.ready, None)},
        "/metrics": {"GET": Endpoint(pages.metrics, "read")},
        "/openapi.json": {"GET": Endpoint(pages.openapi, None)},
        "/asyncapi.json": {"GET": Endpoint(pages.asyncapi, None)},
        "/ws": {"GET": Endpoint(pages.websocket, None)},
        "/": {"GET": Endpoint(pages.index, None)},
    }
