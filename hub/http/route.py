"""A path of the API: its methods, and every way in which a request can end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec import UNSET
from starlette.types import Receive, Scope, Send

from actors.ports.audit import REFUSALS, Audited
from actors.rules.permissions import Act, check
from homeport_protocol.errors import ProtocolError
from hub.http.bodies import CallerGoneError, LateBodyError
from hub.http.ports import HubPort
from hub.http.request import Request
from hub.http.responses import Answer, failure, refusal
from hub.telemetry import logs

Handler = Callable[[Request], Awaitable[Answer]]


class Endpoint(NamedTuple):
    """What one method of a path does, and the act that the caller must be allowed to do.

    `act` None: anybody may, and who asks is not looked at. `legacy`: the legacy service had it.
    """

    handler: Handler
    act: Act | None
    legacy: bool = False


logger = logs.get("hub.http")


class Route:
    """Answers the requests for one path; `HEAD` is answered wherever `GET` is.

    A handler is called once it is known that its caller may do the act of its endpoint.
    """

    def __init__(self, path: str, endpoints: dict[str, Endpoint], hub: HubPort) -> None:
        self.path = path
        self.endpoints = dict(endpoints)
        if "GET" in endpoints:
            self.endpoints["HEAD"] = endpoints["GET"]
        self.methods = frozenset(self.endpoints)
        self._hub = hub
        self._allow = ", ".join(sorted(self.methods)).encode()

    async def serve(self, scope: Scope, receive: Receive, send: Send, value: str) -> None:
        """Answer one request in every case, unless the caller has gone.

        `value` is the part of the path in place of `{…}`.
        """
        began = time.perf_counter()
        request = Request(scope, receive, value)
        method = request.method
        try:
            answer = await self._answer(request)
            self._hub.metrics.http_answered(
                self.path, method, answer.status, time.perf_counter() - began
            )
            # HEAD gets the headers of GET, its length included, without the body.
            await answer.send(send, request.exchange, head_only=method == "HEAD")
        except CallerGoneError:
            request.give_up()
        except ProtocolError as error:
            # In the middle of a long answer: only its missing end can tell the caller.
            logger.warning("answer cut off", route=self.path, why=error.message)
            request.give_up()

    async def _answer(self, request: Request) -> Answer:
        endpoint = self.endpoints.get(request.method)
        if endpoint is None:
            return self._wrong_method(request.method)
        try:
            if endpoint.act is None:
                request.shown()  # for what no request may have
            else:
                request.caller = await request.identify(
                    self._hub.authenticator, legacy=endpoint.legacy
                )
                check(request.caller.principal, endpoint.act)
            return await endpoint.handler(request)
        except ProtocolError as error:
            self._audit(request, endpoint.act, error)
            return failure(error)
        except LateBodyError:
            return refusal(408, "the body did not come in time")
        except CallerGoneError:
            raise
        except Exception:
            logger.exception("request_failed", method=request.method, route=self.path)
            changes_nothing = request.method in {"GET", "HEAD"}
            return refusal(500, "internal error", outcome=UNSET if changes_nothing else "unknown")

    def _audit(self, request: Request, act: Act | None, error: ProtocolError) -> None:
        """Tell the audit log of what is refused, and of what may have happened all the same.

        Not of a caller that was not recognised, which whoever recognises callers tells of.
        """
        principal = request.principal
        if act is None or principal is None:
            return
        refused = error.code in REFUSALS
        if not refused and (error.outcome != "unknown" or act not in ("register", "end", "remove")):
            return
        told = Audited(
            what=act,
            outcome=error.code if refused else "unknown",
            principal=principal.id,
            address=request.address,
            agent_id=request.value if self.path.startswith("/agents/{id}") else "",
        )
        namespace = getattr(request, "caller", None)
        audit = self._hub.audit
        (audit.refused if refused else audit.done)(
            told, None if namespace is None else namespace.namespace
        )

    def _wrong_method(self, method: str) -> Answer:
        allowed = self._allow.decode()
        return refusal(
            405, f"{method[:32]} is not allowed here, only {allowed}", ((b"allow", self._allow),)
        )
