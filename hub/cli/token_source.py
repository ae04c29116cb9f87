"""Where `homeport token` finds the tokens: at a hub, or in the store itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Protocol, TypeVar

import msgspec

from agent_client.errors import CannotConnect
from agent_client.transport.credentials import Credentials
from agent_client.transport.headers import with_authorization
from agent_client.transport.http import NO_ANSWER, HttpAnswer, ask
from agent_client.transport.tls import Tls
from agent_client.transport.urls import hub_urls
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import NewToken, TokenFacts, TokenList, TokenRequest
from homeport_protocol.websocket import WEBSOCKET_PATH
from hub.cli.client import cannot_reach
from hub.cli.options import Target
from hub.errors import HubError
from hub.settings import Settings
from hub.telemetry import logs

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that a hub has to answer."""

MAX_LIST_BYTES = 128 * 1024 * 1024
"""What is read of an answer: as many tokens as there may be, with long notes."""


class TokenSource(Protocol):
    """What can be done to tokens. Raises HubError, or ProtocolError, whose words are for people."""

    async def create(self, request: TokenRequest) -> NewToken: ...

    async def all(self) -> list[TokenFacts]: ...

    async def show(self, token_id: str) -> TokenFacts: ...

    async def revoke(self, token_id: str) -> TokenFacts: ...


@asynccontextmanager
async def at_hub(target: Target) -> AsyncIterator[TokenSource]:
    """The tokens as a hub has them. Raises HubError when it cannot be asked, or refuses."""
    yield _AtHub(target)


class _AtHub:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._credentials = Credentials(target.token, target.files.token_file)
        self._tls = Tls(*target.files[1:])

    async def create(self, request: TokenRequest) -> NewToken:
        return self._read(await self._ask("POST", "/tokens", encode(request)), NewToken)

    async def all(self) -> list[TokenFacts]:
        return self._read(await self._ask("GET", "/tokens"), TokenList).tokens

    async def show(self, token_id: str) -> TokenFacts:
        return self._read(await self._ask("GET", f"/tokens/{token_id}"), TokenFacts)

    async def revoke(self, token_id: str) -> TokenFacts:
        return self._read(await self._ask("DELETE", f"/tokens/{token_id}"), TokenFacts)

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> HttpAnswer:
        *others, last = hub_urls(self._target.urls)
        for url in others:
            try:
                return await self._ask_one(url, method, path, body)
            except NO_ANSWER:
                pass  # the next one may
        try:
            return await self._ask_one(last, method, path, body)
        except NO_ANSWER as error:
            failure = CannotConnect("no answer")
            failure.__cause__ = error
            raise cannot_reach(self._target, failure) from None

    async def _ask_one(self, url: str, method: str, path: str, body: bytes | None) -> HttpAnswer:
        headers = with_authorization(self._target.headers, self._credentials.of(url))
        base = "http" + url.removesuffix(WEBSOCKET_PATH).removeprefix("ws")
        return await asyncio.to_thread(
            ask, method, base + path, body, headers, TIMEOUT, self._tls, MAX_LIST_BYTES
        )

    def _read(self, answer: HttpAnswer, kind: type[T]) -> T:
        shown = self._target.shown
        if answer.status >= HTTPStatus.BAD_REQUEST:
            words = answer.error or f"HTTP {answer.status}{answer.via}"
            if answer.status == HTTPStatus.UNAUTHORIZED:
                words += "; or use its store, with --redis or --data-dir"
            raise HubError(f"the hub at {shown} refuses: {words}")
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise HubError(f"what answers at {shown} is no hub of this version") from None


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
    except ProtocolError as error:
        if isinstance(error.__cause__, StoreError):
            words = f"the store at {shown} cannot be used: {error.__cause__}"
            raise HubError(words) from None
        raise HubError(error.message) from None
    finally:
        await store.close()
        await backend.aclose()
