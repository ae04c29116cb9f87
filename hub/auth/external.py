"""The credentials that others issue: JWTs and client certificates, and the files about them."""

from __future__ import annotations

from actors.ports.conditions import Caution
from hub.auth.certificates import Certificates
from hub.auth.jwt_keys import JwtKeys
from hub.auth.jwts import Jwts
from hub.auth.recogniser import Recogniser
from hub.settings import Settings


class ExternalCredentials:
    """What the settings name of these; reading it blocks. Raises HubError."""

    def __init__(self, settings: Settings) -> None:
        self.recognisers: list[Recogniser] = []
        """In the order in which they are asked: a token counts before a certificate."""
        self._keys: JwtKeys | None = None
        self._certificates: Certificates | None = None
        if settings.jwt_keys is not None:
            self._keys = JwtKeys(settings.jwt_keys)
            jwts = Jwts(self._keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
            self.recognisers.append(jwts)
        if settings.tls_principals is not None:
            self._certificates = Certificates(settings.tls_principals)
            self.recognisers.append(self._certificates)

    def look(self) -> bool:
        """Read again what changed; blocks. Returns whether principals may have ended by it."""
        looked = [each.look() for each in (self._keys, self._certificates) if each is not None]
        return any(looked)

    def warnings(self) -> list[Caution]:
        """What could not be read again."""
        found: list[Caution] = []
        if self._keys is not None and self._keys.problem is not None:
            found.append(Caution("jwt_keys", self._keys.problem))
        if self._certificates is not None and self._certificates.problem is not None:
            found.append(Caution("tls_principals", self._certificates.problem))
        return found
