"""Making, listing and revoking tokens: for the routes under /tokens and for the command line."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import structs

from homeport_protocol.errors import ProtocolError
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.timestamps import format_timestamp
from homeport_protocol.tokens import (
    ID_ALPHABET,
    ID_LENGTH,
    SECRET_ALPHABET,
    SECRET_LENGTH,
    NewToken,
    TokenFacts,
    TokenRequest,
    digest_of,
    make_token,
)
from hub.auth.grant import READING_ALL
from hub.auth.token_store import AT_ONCE, StoredToken, Token, TokenStore, TooManyTokensError
from hub.store import StoreError

T = TypeVar("T")

REGISTERING = ("agent", "operator")


class TokenAdministration:
    """The tokens of one store.

    Every method raises ProtocolError: as it says, and `unavailable`, because of a StoreError, when
    the store cannot be asked.
    """

    def __init__(self, store: TokenStore, wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wall = wall

    async def create(self, request: TokenRequest) -> NewToken:
        """Make a token.

        Raises ProtocolError: `bad_request` for what does not go together, `conflict` when there are
        too many tokens.
        """
        namespace = _check(request)
        now = self._wall()
        while True:
            token_id = _random(ID_ALPHABET, ID_LENGTH)
            token = make_token(token_id, _random(SECRET_ALPHABET, SECRET_LENGTH))
            stored = StoredToken(
                sha256=digest_of(token),
                role=request.role,
                namespace=namespace,
                names=request.names,
                created=now,
                not_after=None if request.ttl is None else now + request.ttl,
                uses=request.uses,
                note=request.note,
            )
            if await _answer(self._store.create(token_id, stored, now)):
                facts = facts_of(Token(id=token_id, facts=stored, left=stored.uses))
                return NewToken(token=token, **structs.asdict(facts))

    async def all(self) -> list[TokenFacts]:
        """All tokens, those that were made last at the end."""
        listed = []
        for number, token in enumerate(await _answer(self._store.all())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            listed.append(facts_of(token))
        return listed

    async def show(self, token_id: str) -> TokenFacts:
        """One token. Raises ProtocolError `not_found`."""
        token = (await _answer(self._store.read([token_id]))).get(token_id)
        if token is None:
            raise _unknown()
        return facts_of(token)

    async def revoke(self, token_id: str) -> TokenFacts:
        """Revoke a token for good, and return what it was. Raises ProtocolError `not_found`."""
        if not await _answer(self._store.revoke(token_id, self._wall())):
            raise _unknown()
        return await self.show(token_id)


def facts_of(token: Token) -> TokenFacts:
    """What may be shown of a token: all but its SHA-256."""
    facts = token.facts
    return TokenFacts(
        id=token.id,
        role=facts.role,
        namespace=facts.namespace,
        names=facts.names,
        created=format_timestamp(facts.created),
        not_after=_time(facts.not_after),
        uses=token.left,
        note=facts.note,
        last_used=_time(token.last_used),
        revoked=_time(token.revoked),
    )


async def _answer(work: Awaitable[T]) -> T:
    try:
        return await work
    except TooManyTokensError as error:
        raise ProtocolError("conflict", str(error)) from None
    except StoreError as error:
        words = f"the tokens cannot be reached now: {error}"
        raise ProtocolError("unavailable", words) from error


def _check(request: TokenRequest) -> str:
    """The token's namespace."""
    role = request.role
    if role not in REGISTERING and (request.uses is not None or request.names != ["*"]):
        field = "names" if request.uses is None else "uses"
        raise ProtocolError(
            "bad_request",
            f'{field}: only for a role that registers agents, "agent" or "operator"',
            field=field,
        )
    namespace = request.namespace
    if namespace is None:
        return "*" if role == "operator" else DEFAULT_NAMESPACE
    if namespace == "*" and role not in READING_ALL:
        raise ProtocolError(
            "bad_request",
            'namespace: * is only for the roles "operator" and "observer"; name one',
            field="namespace",
        )
    return namespace


def _unknown() -> ProtocolError:
    return ProtocolError("not_found", "no such token; `homeport token list` has their ids")


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _time(unix: float | None) -> str | None:
    return None if unix is None else format_timestamp(unix)
