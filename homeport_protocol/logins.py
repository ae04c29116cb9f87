"""The bodies of `POST /login`, by which a browser gets a cookie for a token."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from homeport_protocol.bounds import Role

MAX_TOKEN = 8 * 1024
"""Characters of a token; a JWT may be long."""


class LoginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /login`: the token that the browser's user gave."""

    token: Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN)]

    def __repr__(self) -> str:
        return "LoginRequest(…)"


class LoginAnswer(Struct, frozen=True, kw_only=True):
    """Whom the browser acts for now. `not_after` is null where nobody is asked for a token."""

    role: Role
    namespace: str
    names: list[str]
    not_after: str | None
