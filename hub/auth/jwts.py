"""Recognising callers by JWTs that somebody else has signed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from actors.rules.permissions import Principal
from hub.auth.evidence import Evidence
from hub.auth.jwt_keys import JwtKeys
from hub.auth.jwt_verification import JwtPrincipal, is_jwt, read_header, verify

MAX_KNOWN = 4096
"""Tokens whose principals are kept in memory."""

MAX_KEPT_LENGTH = 2048
"""Characters of a token whose principal is kept; longer ones are verified each time."""


class Jwts:
    """A recogniser: the principal of each JWT that one of the keys has signed."""

    def __init__(
        self,
        keys: JwtKeys,
        *,
        issuer: str | None,
        audience: str | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._wall = wall
        self._known: dict[bytes, JwtPrincipal] = {}
        """By the SHA-256 of the token, those that were verified first at the front."""

    def claims(self, evidence: Evidence) -> bool:
        """See `Recogniser.claims`."""
        return evidence.credential is not None and is_jwt(evidence.credential)

    def recognise(self, evidence: Evidence) -> Principal | None:
        """See `Recogniser.recognise`: None while newer keys may have to be fetched."""
        assert evidence.credential is not None
        token = evidence.credential
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known.key in self._keys.current.thumbprints:
            return known  # whether it has run out is asked for every principal
        if self._keys.may_be_newer(read_header(token).kid):
            return None
        return self._verify(token, digest)

    async def look_up(self, evidence: Evidence) -> Principal:
        """See `Recogniser.look_up`."""
        assert evidence.credential is not None
        token = evidence.credential
        await self._keys.refresh()
        return self._verify(token, hashlib.sha256(token.encode()).digest())

    def ended(self, principal: Principal) -> str | None:
        """See `Recogniser.ended`: when the key is no longer among those of the source."""
        if not isinstance(principal, JwtPrincipal):
            return None
        if principal.key in self._keys.current.thumbprints:
            return None
        return "the key that signed the token is no longer trusted"

    def _verify(self, token: str, digest: bytes) -> JwtPrincipal:
        principal = verify(
            token,
            self._keys.current,
            self._wall(),
            issuer=self._issuer,
            audience=self._audience,
        )
        self._known.pop(digest, None)
        if len(token) <= MAX_KEPT_LENGTH:
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[digest] = principal
        return principal
