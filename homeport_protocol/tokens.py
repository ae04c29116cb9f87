"""The form of a token, `hp1_ID_SECRETCHECK`, and the facts that a hub keeps of one.

The check lets a person, a scanner and a hub find a typing error without asking the store. No error
of this module contains a token.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from string import ascii_letters, digits
from typing import Annotated

from msgspec import Meta, Struct, field

from homeport_protocol.bounds import NAME, NAMESPACE_OR_ALL, PRINTABLE, Role

TOKEN_PREFIX = "hp1_"  # noqa: S105 - what every token begins with, and no token

ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz" + digits
SECRET_ALPHABET = digits + ascii_letters

ID_LENGTH = 12
SECRET_LENGTH = 40
"""Characters of a secret: 238 bits."""

CHECK_LENGTH = 6

MAX_TOKENS = 10_000
"""Tokens that a cluster has at most, those included that were revoked and have not run out."""

MAX_TTL = 10 * 365 * 86400
DEFAULT_TTL = 90 * 86400
"""Seconds after its creation that a token runs out."""

TOKEN_ID = rf"^[a-z0-9]{{{ID_LENGTH}}}$(?!\n)"
_TOKEN = re.compile(
    rf"{TOKEN_PREFIX}(?P<id>[a-z0-9]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}"
    rf"(?P<check>[0-9A-Za-z]{{{CHECK_LENGTH}}})"
)

TokenId = Annotated[str, Meta(pattern=TOKEN_ID, description="Id of the token")]
Glob = Annotated[str, Meta(min_length=1, max_length=128, pattern=NAME)]
Globs = Annotated[list[Glob], Meta(min_length=1, max_length=64)]
TokenNamespace = Annotated[
    str,
    Meta(
        pattern=NAMESPACE_OR_ALL,
        description="The namespace that it may use; `*` for all.",
    ),
]
Note = Annotated[str, Meta(max_length=256, pattern=PRINTABLE)]
Ttl = Annotated[float, Meta(gt=0, le=MAX_TTL)]
Uses = Annotated[int, Meta(ge=1, le=1_000_000)]


class TokenError(ValueError):
    """A text is no token; the words say why, without the text."""


def make_token(token_id: str, secret: str) -> str:
    """The token of this id and secret, which the caller chose at random from the alphabets."""
    body = f"{TOKEN_PREFIX}{token_id}_{secret}"
    return body + _check_of(body)


def read_token_id(token: str) -> str:
    """The id in a token whose check fits. Raises TokenError."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise TokenError(
            f"this is no token of a hub: one begins with {TOKEN_PREFIX} and has 63 characters"
        )
    if _check_of(token[:-CHECK_LENGTH]) != found["check"]:
        raise TokenError("the token's check does not fit: is there a typing error?")
    return found["id"]


def digest_of(token: str) -> str:
    """The SHA-256 of a token in hexadecimal, which is what a hub keeps of it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check_of(body: str) -> str:
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(SECRET_ALPHABET))
        check = SECRET_ALPHABET[digit] + check
    return check


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /tokens`: what a new token is to be good for.

    Without `namespace` it is `*` for an operator, and `default` for any other role. `ttl` is in
    seconds; null for a token that never runs out. `uses` is how many agents it may register.
    """

    role: Role
    names: Globs = field(default_factory=lambda: ["*"])
    namespace: TokenNamespace | None = None
    ttl: Ttl | None = float(DEFAULT_TTL)
    uses: Uses | None = None
    note: Note = ""


class TokenFacts(Struct, frozen=True, kw_only=True):
    """What everybody may know of a token who may know of tokens at all; times as timestamps."""

    id: str
    role: Role
    namespace: str
    names: list[str]
    created: str
    not_after: str | None
    uses: int | None
    """Registrations of new agents that are left; null for any number."""
    note: str
    last_used: str | None
    """To the minute; null if it was not used."""
    revoked: str | None


class NewToken(TokenFacts, frozen=True, kw_only=True):
    """The answer to `POST /tokens`: the only place where a token itself is shown."""

    token: str

    def __repr__(self) -> str:
        return f"NewToken(id={self.id!r}, …)"


class TokenList(Struct, frozen=True):
    """`GET /tokens`: all of them, those that were made last at the end."""

    tokens: list[TokenFacts]
