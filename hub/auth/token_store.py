"""The tokens in Redis: one hash, `auth:tokens`, that all hubs of a cluster share.

Of a token with the id ID it has the fields `ID` (its facts as JSON, which never change),
`ID:revoked`, `ID:uses` with `ID:steps`, and `ID:used`. The field `:revision` changes with every
revocation: a hub reads it twice a second, and all else only when it has to. It has two parts, of
which the first changes only when the hash was lost and made anew.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from homeport_protocol.bounds import Role
from homeport_protocol.codec import encode
from homeport_protocol.tokens import MAX_TOKENS, TOKEN_ID, Globs, Note, TokenNamespace, Uses
from hub.errors import HubError
from hub.store import Backend, Keys, StoreError, StoreUnavailableError
from hub.store.backends.failures import WrongTypeError, is_wrong_type, needs_a_person, reason_of
from hub.store.names import REDIS, named
from hub.store.reply_tasks import log_bug
from hub.store.scripts import (
    COOKIE_KEY,
    TOKEN_CREATE,
    TOKEN_PUT_BACK,
    TOKEN_REVOKE,
    TOKEN_USE,
    TOKEN_USED,
    Script,
)
from hub.telemetry import logs

T = TypeVar("T")

TIMEOUT = 0.3
"""Seconds that a command may take, five times as many at a server that may be far away: so that
when Redis is back, a hub has read within two seconds what was revoked."""

FORGOTTEN_AFTER = 7 * 86400.0
"""Seconds after it has run out in which a token is still listed."""

MOST_UNREADABLE = 100
"""Fields without a token that are told of; beyond them nothing is."""

AT_ONCE = 100
"""Tokens that are read in one turn of the loop."""

_PIECE = b"500"
"""How many fields one command looks at."""

_REVISION = b":revision"

TOKEN_SUBJECT = "token:"  # noqa: S105 - what the id of a token's principal begins with

logger = logs.get("hub.tokens")

_ID = re.compile(TOKEN_ID)
_NUMBER = re.compile(rb"[0-9]{1,15}(\.[0-9]{1,6})?")


class TooManyTokensError(HubError):
    """There is no room for another token."""


class StoredToken(Struct, frozen=True, kw_only=True):
    """The facts of a token as they are stored; times in seconds since 1970, None for never."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    role: Role
    namespace: TokenNamespace
    names: Globs
    created: float
    not_after: float | None = None
    uses: Uses | None = None
    note: Note = ""


class Token(Struct, frozen=True, kw_only=True):
    """A token as it was when it was read. `left` are the registrations that it has left."""

    id: str
    facts: StoredToken
    revoked: float | None = None
    left: int | None = None
    last_used: float | None = None


class TokenStore:
    """Reads and changes the tokens under a key prefix, on a connection of its own.

    Every method raises StoreUnavailableError when the store cannot be asked, and StoreError when it
    cannot be used as it is. `name` is what people know the store by.
    """

    def __init__(
        self,
        backend: Backend,
        prefix: str = "",
        *,
        timeout: float = TIMEOUT,
        name: str = REDIS,
    ) -> None:
        self._key = Keys(prefix).tokens
        self._lane = backend.lane(self._key, timeout)
        self._name = name
        self._counting = asyncio.Lock()
        self.unreadable: set[str] = set()
        """Fields that should hold a token's facts, and held something else when last read."""
        self.wrong_type = False
        """Whether the key held something else than a hash when last asked."""

    async def revision(self) -> str:
        """What changes with every revocation; "" where no token was ever made."""
        held = await self._run(partial(self._lane.ask, b"HGET", self._key, _REVISION))
        return "" if held is None else _text(held)

    async def read(self, ids: Iterable[str]) -> dict[str, Token]:
        """The tokens with these ids, those that there are."""
        wanted = list(ids)
        fields = [field for each in wanted for field in _fields(each)]
        if not fields:
            return {}
        held = await self._run(partial(self._lane.ask, b"HMGET", self._key, *fields))
        values = dict(zip(fields, held, strict=True))
        found = (self._token(each, values) for each in wanted)
        return {token.id: token for token in found if token is not None}

    async def all(self) -> list[Token]:
        """All tokens, those that were made last at the end."""
        values = await self._scan(b"*")
        tokens: list[Token] = []
        for number, field in enumerate(values):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            token = None if b":" in field else self._token(_text(field), values)
            if token is not None:
                tokens.append(token)
        return sorted(tokens, key=lambda token: (token.facts.created, token.id))

    async def revoked(self) -> set[str]:
        """The ids of all tokens that were revoked."""
        values = await self._scan(b"*:revoked")
        return {_text(field).partition(":")[0] for field in values}

    async def create(self, token_id: str, facts: StoredToken, now: float) -> bool:
        """Add a token; False if the id is taken. Raises TooManyTokensError."""
        uses = b"" if facts.uses is None else b"%d" % facts.uses
        arguments = [token_id.encode(), encode(facts), uses]
        born = [f"{secrets.token_hex(8)}.0".encode()]
        added: int = await self._change(TOKEN_CREATE, *arguments, b"%d" % MAX_TOKENS, *born)
        if added < 0:  # each token has a field or more: now it is worth it to count them
            async with self._counting:  # one at a time: it takes a while
                tokens = await self._prune(now)
            if len(tokens) >= MAX_TOKENS:
                raise TooManyTokensError(
                    f"there are {MAX_TOKENS:,} tokens, which is the most; each is forgotten "
                    f"{FORGOTTEN_AFTER / 86400:g} days after it has run out"
                )
            added = await self._change(TOKEN_CREATE, *arguments, b"%d" % (8 * MAX_TOKENS), *born)
        return added == 1

    async def revoke(self, token_id: str, now: float) -> bool:
        """Revoke a token, for good; False if there is none."""
        arguments = [token_id.encode(), b"%.3f" % now, secrets.token_hex(8).encode()]
        return bool(await self._change(TOKEN_REVOKE, *arguments))

    async def take_use(self, token_id: str, step: str) -> bool:
        """Take one of the registrations that it has left; False if none is.

        May be repeated with the same `step`, a random text, when the outcome is not known.
        """
        return int(await self._change(TOKEN_USE, token_id.encode(), b"-1", step.encode())) >= 0

    async def give_use_back(self, token_id: str, step: str) -> None:
        """Give back one that was taken for a registration which failed; `step` as above."""
        await self._change(TOKEN_USE, token_id.encode(), b"1", step.encode())

    async def used(self, times: Mapping[str, float]) -> list[str]:
        """Note when tokens were used last, to the minute; returns the ids of those gone."""
        arguments: list[bytes] = []
        for token_id, at in times.items():
            arguments += (token_id.encode(), b"%d" % (at - at % 60))
        return [_text(each) for each in await self._change(TOKEN_USED, *arguments)]

    async def put_back(self, tokens: Iterable[Token]) -> str:
        """Add what is not there of these tokens, and return the revision."""
        arguments = [f"{secrets.token_hex(8)}.0".encode()]
        for token in tokens:
            values = (
                encode(token.facts),
                None if token.revoked is None else b"%.3f" % token.revoked,
                None if token.left is None else b"%d" % token.left,
                None if token.last_used is None else b"%d" % token.last_used,
            )
            for field, value in zip(_fields(token.id), values, strict=True):
                if value is not None:
                    arguments += (field, value)
        return _text(await self._change(TOKEN_PUT_BACK, *arguments))

    async def cookie_key(self, present: int, new: bytes, period: int) -> bytes | None:
        """The key with which cookies of a period are signed; `new` is for the present period."""
        arguments = [b"%d" % present, new.hex().encode(), b"%d" % period]
        held = await self._change(COOKIE_KEY, *arguments)
        try:
            return None if held is None else bytes.fromhex(_text(held))
        except ValueError:
            return None  # what no hub wrote signs nothing

    def warnings(self) -> list[str]:
        """What was found that no hub wrote, and what to do, in sentences."""
        key = self._key.decode()
        if self.wrong_type:
            return [
                f"the Redis key {key} holds another type than a hub writes there, and no token can "
                "be checked: `homeport repair` sets it aside"
            ]
        return [
            f"the field {token_id[:64]!r} of the Redis key {key} holds no token and is left alone: "
            "remove it with HDEL, and make another token"
            for token_id in sorted(self.unreadable)
        ]

    async def look_again(self) -> None:
        """Forget the warnings about what is in order by now."""
        if self.unreadable:
            await self.read(list(self.unreadable))

    async def close(self) -> None:
        """Close the connection."""
        await self._lane.drop()

    async def _prune(self, now: float) -> list[Token]:
        """Forget what ran out long ago; returns the tokens that stay."""
        stay: list[Token] = []
        for token in await self.all():
            not_after = token.facts.not_after
            if not_after is None or now - not_after < FORGOTTEN_AFTER:
                stay.append(token)
            else:
                fields = (*_fields(token.id), f"{token.id}:steps".encode())
                await self._run(partial(self._lane.ask, b"HDEL", self._key, *fields))
        return stay

    async def _scan(self, pattern: bytes) -> dict[bytes, bytes]:
        """The fields that match, read in pieces so that nothing else waits for long."""
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            command = (b"HSCAN", self._key, cursor, b"MATCH", pattern, b"COUNT", _PIECE)
            cursor, piece = await self._run(partial(self._lane.ask, *command))
            found.update(zip(piece[::2], piece[1::2], strict=True))
            if cursor == b"0":
                return found

    def _token(self, token_id: str, values: Mapping[bytes, bytes | None]) -> Token | None:
        facts, revoked, left, used = (values.get(field) for field in _fields(token_id))
        if facts is None:
            self.unreadable.discard(token_id)
            return None
        try:
            if _ID.fullmatch(token_id) is None:
                raise msgspec.ValidationError
            stored = msgspec.json.decode(facts, type=StoredToken)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if token_id not in self.unreadable and len(self.unreadable) < MOST_UNREADABLE:
                self.unreadable.add(token_id)
                logger.warning(
                    "the store holds a token that cannot be read, and is none", id=token_id
                )
            return None
        self.unreadable.discard(token_id)
        return Token(
            id=token_id,
            facts=stored,
            # What cannot be read was revoked all the same.
            revoked=None if revoked is None else _number(revoked) or 0.0,
            left=None if stored.uses is None else int(_number(left) or 0),
            last_used=_number(used),
        )

    async def _change(self, script: Script, *arguments: bytes) -> Any:
        return await self._run(partial(self._lane.run, script, [self._key], list(arguments)))

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await work()
        except Exception as error:
            log_bug(error)
            self.wrong_type = is_wrong_type(error)
            kind = StoreError if needs_a_person(error) else StoreUnavailableError
            kind = WrongTypeError if is_wrong_type(error) else kind
            raise kind(named(reason_of(error), self._name)) from None
        self.wrong_type = False
        return answer


def _fields(token_id: str) -> tuple[bytes, bytes, bytes, bytes]:
    plain = token_id.encode()
    return plain, plain + b":revoked", plain + b":uses", plain + b":used"


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _number(value: bytes | None) -> float | None:
    if value is None or _NUMBER.fullmatch(value) is None:
        return None
    return float(value)
