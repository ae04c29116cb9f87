"""Where `homeport token` finds the tokens: at a hub, or in the store itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import NewToken, TokenFacts, TokenRequest
from hub.errors import HubError
from hub.settings import Settings
from hub.telemetry import logs


class TokenSource(Protocol):
    """What can be done to tokens; raises HubError or ProtocolError."""

    async def create(self, request: TokenRequest) -> NewToken: ...

    async def all(self) -> list[TokenFacts]: ...

    async def show(self, token_id: str) -> TokenFacts: ...

    async def revoke(self, token_id: str) -> TokenFacts: ...


@asynccontextmanager
async def in_store(settings: Settings) -> AsyncIterator[TokenSource]:
    """The tokens in the store of these settings, whether or not a hub runs.

    Raises HubError when it cannot be used.
    """
    from hub.engine import attached  # noqa: PLC0415 - other commands need none of these
    from hub.store import MEMORY  # noqa: PLC0415

    url = settings.redis
    if url == MEMORY:
        raise HubError("memory:// is inside its hub: name that hub with --url")
    if url is not None:
        async with _at(url, settings.key_prefix, logs.redact_text(url)) as source:
            yield source
        return
    async with (
        attached(settings.data_dir) as socket,
        _at(socket, settings.key_prefix, settings.data_dir) as source,
    ):
        yield source


@asynccontextmanager
async def _at(url: str, prefix: str, shown: str) -> AsyncIterator[TokenSource]:
    from hub.auth.administration import TokenAdministration  # noqa: PLC0415
    from hub.auth.token_store import TokenStore  # noqa: PLC0415
    from hub.store import StoreError, connect  # noqa: PLC0415

    backend = await connect(url, hub_id="token")
    store = TokenStore(backend, prefix, timeout=2.0)
    try:
        yield TokenAdministration(store)
    except StoreError as error:
        raise HubError(f"the store at {shown} cannot be used: {error}") from None
    except ProtocolError as error:
        raise HubError(error.message) from None
    finally:
        await store.close()
        await backend.aclose()
