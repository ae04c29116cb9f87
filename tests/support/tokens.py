"""Tokens made in the store itself, as an operator does on its machine."""

from __future__ import annotations

import asyncio
from typing import Any

from homeport_protocol.tokens import TokenRequest
from hub.auth.administration import TokenAdministration
from hub.auth.token_store import TokenStore
from hub.store import connect


def make_tokens(url: str, **requests: dict[str, Any]) -> dict[str, str]:
    """A token for each request (fields of `TokenRequest`), by the same names."""

    async def make() -> dict[str, str]:
        backend = await connect(url, hub_id="tests")
        store = TokenStore(backend)
        try:
            administration = TokenAdministration(store)
            return {
                name: (await administration.create(TokenRequest(**fields))).token
                for name, fields in requests.items()
            }
        finally:
            await store.close()
            await backend.aclose()

    return asyncio.run(make())


def revoke_token(url: str, token: str) -> None:
    """Revoke a token in the store."""

    async def revoke() -> None:
        backend = await connect(url, hub_id="tests")
        store = TokenStore(backend)
        try:
            await TokenAdministration(store).revoke(token.split("_")[1])
        finally:
            await store.close()
            await backend.aclose()

    asyncio.run(revoke())


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}
