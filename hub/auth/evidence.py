"""What a request shows, taken apart: one credential, whichever header carried it."""

from __future__ import annotations

import base64
import binascii

from msgspec import Struct

from hub.auth.refusals import Unauthorized
from hub.net.caller import Shown

MAX_CREDENTIAL = 8 * 1024
"""Characters of a credential: a JWT may be long."""

HOW = "send `Authorization: Bearer TOKEN`, or Basic with the token as the password"


class Evidence(Struct, frozen=True):
    """The credential of `Authorization`, the cookies, and the TLS peer's certificate in DER.

    All of it is secret: its repr has none of it.
    """

    credential: str | None = None
    cookie: str | None = None
    certificate: bytes | None = None
    legacy: bool = False
    """Whether nothing was shown, on a route of the legacy service."""

    def __repr__(self) -> str:
        return "Evidence(…)"


def read_evidence(shown: Shown) -> Evidence:
    """Take apart what a request shows. Raises Unauthorized for another scheme than the two."""
    credential = None if shown.authorization is None else _credential(shown.authorization)
    legacy = shown.legacy and credential is None and shown.cookie is None
    return Evidence(credential, shown.cookie, shown.certificate, legacy)


def _credential(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer":
            credential = rest
        case "basic":
            credential = _password(rest)
        case _:
            raise Unauthorized("malformed", f"Authorization: another scheme; {HOW}")
    if not credential:
        raise Unauthorized("missing", f"Authorization: it has no token; {HOW}")
    if len(credential) > MAX_CREDENTIAL:
        raise Unauthorized(
            "malformed", f"Authorization: longer than the {MAX_CREDENTIAL:,} characters of a token"
        )
    return credential


def _password(encoded: str) -> str:
    try:
        login = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthorized("malformed", "Authorization: Basic is no USER:TOKEN in base64") from None
    return login.partition(":")[2]
