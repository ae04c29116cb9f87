"""From the text of a JWT to its principal, after the advice of RFC 8725.

The hub decides which signatures it takes, the key which of them it is for, and the token only which
key. Nothing here waits, and `now` is given.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from typing import Annotated, Any

import msgspec
from jwt import PyJWTError
from jwt.api_jws import PyJWS
from msgspec import Meta, Struct

from actors.rules.permissions import Principal
from homeport_protocol.bounds import NAME
from hub.auth.grant import Grant
from hub.auth.jwk_set import ALGORITHMS, JwkSet
from hub.auth.refusals import Unauthorized

LEEWAY = 30.0
"""Seconds that the issuer's clock may be ahead of ours. A token that ran out has no leeway."""

Time = Annotated[float, Meta(ge=0, le=1e11)]

_jws = PyJWS(algorithms=list(ALGORITHMS))


class JwtPrincipal(Principal, frozen=True, gc=False, kw_only=True):
    """The principal of a JWT, and the thumbprint of the key that signed it."""

    key: str


class Claims(Struct, frozen=True, kw_only=True):
    """The claims that are read; all others are ignored."""

    sub: Annotated[str, Meta(min_length=1, max_length=256, pattern=NAME)]
    exp: Time
    homeport: Grant
    nbf: Time | None = None
    iat: Time | None = None
    iss: str | None = None
    aud: str | list[str] | None = None


class Header(Struct, frozen=True):
    """The part of a JWT's header that says how to verify it."""

    alg: str
    kid: str | None = None


def is_jwt(credential: str) -> bool:
    """Whether this has the form of a JWT: a JSON object in base64, and two more parts."""
    return credential.startswith("eyJ") and credential.count(".") == 2


def read_header(token: str) -> Header:
    """The header of a JWT, not verified. Raises Unauthorized."""
    header = _object(_decoded(token.partition(".")[0]), "header")
    if "crit" in header or "b64" in header:
        raise _malformed("its header has an extension that the hub does not know")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _malformed(f"it is not signed with one of {', '.join(ALGORITHMS)}")
    if kid is not None and not isinstance(kid, str):
        raise _malformed("the kid in its header is no text")
    return Header(algorithm, kid)


def verify(
    token: str, keys: JwkSet, now: float, *, issuer: str | None, audience: str | None
) -> JwtPrincipal:
    """The principal of a JWT; `now` is in seconds since 1970. Raises Unauthorized.

    Where no `audience` is expected, a token that is meant for somebody is refused.
    """
    header = read_header(token)
    key = keys.find(header.kid, header.alg)
    if key is None:
        raise Unauthorized("unknown", "JWT: no key among jwt_keys fits it")
    try:
        payload: bytes = _jws.decode_complete(token, key.jwk, [key.algorithm])["payload"]
    except (PyJWTError, ValueError, RecursionError):
        raise Unauthorized("unknown", "JWT: its signature does not fit") from None
    try:
        claims = msgspec.convert(_object(payload, "payload"), Claims, strict=True)
    except msgspec.ValidationError as error:
        raise _malformed(f"its claims: {_where(error)}") from None
    subject = f"jwt:{claims.sub}"
    if issuer is not None and claims.iss != issuer:
        raise Unauthorized("unknown", "JWT: it is of another issuer than jwt_issuer", subject)
    if not _is_meant(claims.aud, audience):
        raise Unauthorized("unknown", "JWT: it is meant for another audience", subject)
    if claims.exp <= now:
        raise Unauthorized("expired", "the token has run out", subject)
    if max(claims.nbf or 0, claims.iat or 0) > now + LEEWAY:
        raise Unauthorized("unknown", "JWT: it is not yet valid", subject)
    grant = claims.homeport
    return JwtPrincipal(
        id=subject,
        role=grant.role,
        namespace=grant.reach,
        names=tuple(grant.names),
        not_after=claims.exp,
        key=key.thumbprint,
    )


def _is_meant(audience: str | list[str] | None, expected: str | None) -> bool:
    meant = [audience] if isinstance(audience, str) else audience or []
    return expected in meant if expected is not None else not meant


def _decoded(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _malformed("its header is not in base64") from None


def _object(data: bytes, part: str) -> dict[str, Any]:
    """The JSON object; one with a name twice is refused, since others may take the other value."""
    try:
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _malformed(f"its {part} is no JSON object in which each name occurs once") from None
    if not isinstance(found, dict):
        raise _malformed(f"its {part} is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _where(error: msgspec.ValidationError) -> str:
    """What is wrong with the claims, without any value of them."""
    words, _, path = str(error).partition(" - at `$.")
    if "Invalid enum value" in words:
        words = "not one of the roles"
    at = f" at {path.rstrip('`')}" if path else ""
    return f"{words.replace('`', '')}{at}"


def _malformed(why: str) -> Unauthorized:
    return Unauthorized("malformed", f"JWT: {why}")
