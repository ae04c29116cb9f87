"""The routes under /tokens, for operators of every namespace."""

from __future__ import annotations

import re

import msgspec

from actors.ports.audit import Audited, AuditedAct
from actors.rules.permissions import EVERY_NAMESPACE
from homeport_protocol.codec import encode, read_float
from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import TOKEN_ID, TokenList, TokenRequest
from hub.http.bodies import read_body
from hub.http.ports import HubPort, TokensPort
from hub.http.request import Request
from hub.http.responses import Answer, json

_request = msgspec.json.Decoder(TokenRequest, float_hook=read_float)


class TokenRoutes:
    """The handlers of one hub."""

    def __init__(self, hub: HubPort) -> None:
        self._hub = hub

    async def list_all(self, request: Request) -> Answer:
        """`GET /tokens`: the facts of all of them."""
        return json(encode(TokenList(await self._tokens(request).all())))

    async def create(self, request: Request) -> Answer:
        """`POST /tokens`: 201 with the token itself, which no other answer has."""
        tokens = self._tokens(request)
        wanted = await read_body(request, self._hub.max_body_bytes, TokenRequest, _request)
        made = await tokens.create(wanted)
        self._audit(request, "create_token", made.id)
        return json(encode(made), status=201)

    async def show(self, request: Request) -> Answer:
        """`GET /tokens/{id}`: the facts of one."""
        return json(encode(await self._tokens(request).show(_id(request))))

    async def revoke(self, request: Request) -> Answer:
        """`DELETE /tokens/{id}`: revoke it for good; 200 with its facts, also the second time."""
        revoked = await self._tokens(request).revoke(_id(request))
        self._audit(request, "revoke_token", revoked.id)
        return json(encode(revoked))

    def _audit(self, request: Request, what: AuditedAct, token_id: str) -> None:
        caller = request.caller
        act = Audited(what=what, principal=caller.principal.id, address=caller.address)
        self._hub.audit.token(act, token_id)

    def _tokens(self, request: Request) -> TokensPort:
        """Raises ProtocolError `forbidden` where there are none, or for one namespace only."""
        tokens = self._hub.tokens
        if tokens is None:
            # Who reaches a hub that is open now must not keep a key to it for later.
            raise ProtocolError(
                "forbidden",
                "this hub asks nobody for a token, so it makes none: "
                "`homeport token create` makes one on its store",
            )
        if request.caller.principal.namespace != EVERY_NAMESPACE:
            words = 'tokens belong to every namespace: the role "operator" for "*" may'
            raise ProtocolError("forbidden", words)
        return tokens


def _id(request: Request) -> str:
    if re.fullmatch(TOKEN_ID, request.value) is None:
        # The value is not repeated: somebody may have sent the token itself.
        raise ProtocolError(
            "bad_request", "id: expected the 12 letters and digits of a token's id", field="id"
        )
    return request.value
