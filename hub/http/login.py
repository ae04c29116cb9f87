"""`/login` and `/logout`: a cookie for a browser, which is given its user's token once."""

from __future__ import annotations

import msgspec

from actors.ports.audit import Audited
from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.codec import encode, read_float
from homeport_protocol.logins import LoginAnswer, LoginRequest
from homeport_protocol.timestamps import format_timestamp
from hub.http.bodies import read_body
from hub.http.ports import HubPort
from hub.http.request import Request
from hub.http.responses import Answer, json
from hub.net.caller import Shown, authenticate
from hub.net.raw_response import Headers

_request = msgspec.json.Decoder(LoginRequest, float_hook=read_float)


class LoginRoutes:
    """The handlers of one hub."""

    def __init__(self, hub: HubPort) -> None:
        self._hub = hub

    async def log_in(self, request: Request) -> Answer:
        """`POST /login`: 200 with whom the token is for, and a cookie in its place; 401."""
        hub = self._hub
        wanted = await read_body(request, hub.max_body_bytes, LoginRequest, _request)
        if hub.logins is None:
            return _answer(ANYBODY)
        shown = Shown(authorization=f"Bearer {wanted.token}", peer=request.address)
        principal = await authenticate(hub.authenticator, shown)
        # Behind a proxy that adds TLS, only the page's origin tells of it.
        secure = any(each.startswith("https:") for each in request.headers(b"origin"))
        login = await hub.logins.log_in(principal, wanted.token, secure=secure)
        act = Audited(what="log_in", principal=login.principal.id, address=request.address)
        hub.audit.done(act, None)
        return _answer(login.principal, ((b"set-cookie", login.cookie.encode()),))

    async def log_out(self, request: Request) -> Answer:
        """`POST /logout`: 200, and the browser forgets the cookie."""
        logins = self._hub.logins
        cookies = [] if logins is None else logins.log_out()
        return json(b"{}", headers=[(b"set-cookie", each.encode()) for each in cookies])


def _answer(principal: Principal, headers: Headers = ()) -> Answer:
    ends = principal.not_after
    answer = LoginAnswer(
        role=principal.role,
        namespace=principal.namespace,
        names=list(principal.names),
        not_after=None if ends is None else format_timestamp(ends),
    )
    return json(encode(answer), headers=headers)
