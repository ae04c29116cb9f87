"""The tokens that this hub knows: those that were shown to it, and the ids of all revoked ones.

A token is read from the store when it is shown for the first time, and its facts never change. The
hub polls one short text, the store's revision, and reads the revocations when it has changed. So a
hub serves the tokens that it knows while the store is away, ends those that run out, and learns of
revocations as soon as the store is back.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import (
    ID_LENGTH,
    MAX_TOKENS,
    TOKEN_PREFIX,
    TokenError,
    read_token_id,
)
from hub.auth.evidence import Evidence
from hub.auth.refusals import Unauthorized
from hub.auth.token_store import TOKEN_SUBJECT, Token, TokenStore
from hub.store import StoreError
from hub.store.backends.failures import WrongTypeError
from hub.telemetry import logs

POLL_INTERVAL = 0.5
"""Seconds between two looks whether a token was revoked."""

USED_INTERVAL = 60.0
"""Seconds between two writes of when tokens were used last."""

REVOKED = "the token was revoked"
UNKNOWN = "the hub does not know this token"

_NOTHING = bytes(32)

logger = logs.get("hub.tokens")


class _Known:
    """A token that was shown, and the principal that it stands for."""

    __slots__ = ("digest", "principal", "token")

    def __init__(self, token: Token) -> None:
        facts = token.facts
        self.token = token
        self.digest = bytes.fromhex(facts.sha256)
        self.principal = Principal(
            id=TOKEN_SUBJECT + token.id,
            role=facts.role,
            namespace=facts.namespace,
            names=tuple(facts.names),
            not_after=facts.not_after,
            limited=facts.uses is not None,
        )


class Tokens:
    """Recognises the tokens of a store. Call `start`, and later `close`.

    `revoked` is called with the ids of principals, some time after their tokens were revoked;
    `in_use` returns those of the websockets that are open: a token is used for as long as one is.
    """

    def __init__(
        self,
        store: TokenStore,
        revoked: Callable[[set[str]], None] = lambda _ids: None,
        wall: Callable[[], float] = time.time,
        in_use: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._store = store
        self._tell = revoked
        self._wall = wall
        self._in_use = in_use
        self._known: dict[str, _Known] = {}
        self._revoked: set[str] = set()
        self._revision = ""
        self._lineage = ""
        self._refreshing = asyncio.Lock()
        self._used: dict[str, float] = {}
        self._used_written = asyncio.get_running_loop().time()
        self._wanted: dict[str, asyncio.Future[Token | None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the revocations, and follow them. Raises StoreError.

        Not for a key of another type, which is no reason to serve nobody: see `warnings`.
        """
        with suppress(WrongTypeError):
            await self.refresh()
        self._following = asyncio.create_task(self._follow(), name="tokens")

    async def close(self) -> None:
        """Follow no more, and note the last uses if the store answers."""
        for task in (self._following, self._reading):
            if task is not None:
                task.cancel()
        with suppress(StoreError):
            await self._write_used()
        await self._store.close()

    async def refresh(self) -> None:
        """Read what was revoked since the last time. Raises StoreError."""
        async with self._refreshing:  # else an older answer could come after a newer one
            await self._refresh()

    def is_revoked(self, principal_id: str) -> bool:
        """Whether this is the principal of a token that was revoked."""
        return principal_id.removeprefix(TOKEN_SUBJECT) in self._revoked

    # --- hub.auth.recogniser.Recogniser ----------------------------------------------------------

    def claims(self, evidence: Evidence) -> bool:
        """Whether the credential looks like a token."""
        return evidence.credential is not None and evidence.credential.startswith(TOKEN_PREFIX)

    def recognise(self, evidence: Evidence) -> Principal | None:
        """See `Recogniser.recognise`."""
        assert evidence.credential is not None  # `claims` has seen it
        token_id = evidence.credential[len(TOKEN_PREFIX) : len(TOKEN_PREFIX) + ID_LENGTH]
        known = self._known.get(token_id)
        digest = hashlib.sha256(evidence.credential.encode()).digest()
        fits = hmac.compare_digest(digest, _NOTHING if known is None else known.digest)
        if known is None or not fits:
            _read(evidence)  # its check: what fits a digest has the right one
            # The store is asked for a wrong secret too, so that its answer takes no other time.
            return None
        return self._accept(token_id, known)

    async def look_up(self, evidence: Evidence) -> Principal:
        """See `Recogniser.look_up`."""
        token_id, digest = _read(evidence)
        known = await self._look_up(token_id)
        fits = hmac.compare_digest(digest, _NOTHING if known is None else known.digest)
        return self._accept(token_id, known if fits else None)

    # --- by the id alone -------------------------------------------------------------------------

    def principal_of(self, principal_id: str) -> Principal | None:
        """Whom a token stands for that was shown at another time; None as of `recognise`.

        Raises Unauthorized.
        """
        token_id = principal_id.removeprefix(TOKEN_SUBJECT)
        known = self._known.get(token_id)
        return None if known is None else self._accept(token_id, known)

    async def look_up_id(self, principal_id: str) -> Principal:
        """The same, having asked the store. Raises as `look_up` does."""
        token_id = principal_id.removeprefix(TOKEN_SUBJECT)
        return self._accept(token_id, await self._look_up(token_id))

    def ended(self, principal: Principal) -> str | None:
        """See `Recogniser.ended`."""
        return REVOKED if self.is_revoked(principal.id) else None

    # --- internals -------------------------------------------------------------------------------

    async def _look_up(self, token_id: str) -> _Known | None:
        try:
            token = await self._find(token_id)
        except StoreError:
            raise ProtocolError(
                "unavailable", "the token cannot be checked now: the store is away"
            ) from None
        return None if token is None else _Known(token)

    def _accept(self, token_id: str, known: _Known | None) -> Principal:
        """Remember a token, and return its principal. Raises Unauthorized."""
        if known is None:
            raise Unauthorized("unknown", UNKNOWN, TOKEN_SUBJECT + token_id)
        if known.token.revoked is not None or token_id in self._revoked:
            raise Unauthorized("revoked", REVOKED, known.principal.id)
        if token_id not in self._known and len(self._known) >= MAX_TOKENS:
            # somebody has put more into the store than hubs do
            del self._known[next(iter(self._known))]
        self._known[token_id] = known
        self._used[token_id] = self._wall()
        return known.principal

    async def _refresh(self) -> None:
        revision = await self._store.revision()
        if revision == self._revision:
            return
        lineage = revision.partition(".")[0]
        if lineage != self._lineage and self._lineage:
            logger.warning("the store has lost its tokens; those that this hub knows are put back")
            revision = await self._store.put_back(
                # A revoked one without its facts is gone anyway.
                each.token
                for each in self._known.values()
            )
            lineage = revision.partition(".")[0]
        found = await self._store.revoked()
        for token_id in self._revoked - found:
            # A failover may have lost it: revoked is for good.
            if await self._store.revoke(token_id, self._wall()):
                found.add(token_id)
        fresh = found - self._revoked
        self._revoked = found
        self._revision, self._lineage = revision, lineage
        if fresh and self._following is not None:  # at the start nobody goes on with one
            self._tell({TOKEN_SUBJECT + token_id for token_id in fresh})

    async def _find(self, token_id: str) -> Token | None:
        """Read a token; all that are asked for while a read is under way go into the next one."""
        future = self._wanted.get(token_id)
        if future is None:
            future = self._wanted[token_id] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_wanted(), name="token lookup")
        return await asyncio.shield(future)

    async def _read_wanted(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                found = await self._store.read(wanted)
                # What was revoked since the last poll counts at once.
                await self.refresh()
            except BaseException as error:
                told = error if isinstance(error, StoreError) else StoreError("the hub is stopping")
                for future in wanted.values():
                    if not future.done():
                        future.set_exception(told)
                        future.exception()  # the caller may have gone
                if not isinstance(error, StoreError):
                    raise
            else:
                for token_id, future in wanted.items():
                    if not future.done():
                        future.set_result(found.get(token_id))

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self.refresh()
                if loop.time() - self._used_written >= USED_INTERVAL:
                    self._used_written = loop.time()
                    await self._write_used()
                    await self._store.look_again()
            except StoreError as error:
                logger.debug("revocations could not be read", reason=str(error))
            except Exception:
                logger.exception("following the tokens failed")

    async def _write_used(self) -> None:
        used, self._used = self._used, {}
        now = self._wall()
        for principal_id in self._in_use():
            token_id = principal_id.removeprefix(TOKEN_SUBJECT)
            if token_id in self._known:  # not a JWT, nor the operator's, which is in no store
                used[token_id] = now
        if not used:
            return
        try:
            missing = await self._store.used(used)
        except StoreError:
            self._used = {**used, **self._used}
            raise
        for token_id in missing:
            self._known.pop(token_id, None)
            self._revoked.add(token_id)
        if missing:
            self._tell({TOKEN_SUBJECT + token_id for token_id in missing})


def _read(evidence: Evidence) -> tuple[str, bytes]:
    assert evidence.credential is not None  # `claims` has seen it
    try:
        token_id = read_token_id(evidence.credential)
    except TokenError as error:
        raise Unauthorized("malformed", str(error)) from None
    return token_id, hashlib.sha256(evidence.credential.encode()).digest()
