"""Recognising callers by the client certificates that they show instead of a token."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from actors.rules.permissions import Principal
from hub.auth.evidence import Evidence
from hub.auth.grant import Grant
from hub.auth.refusals import Unauthorized
from hub.errors import HubError
from hub.net.file_changes import FileChanges
from hub.telemetry import logs

MAX_BYTES = 16 * 1024 * 1024

_NAMES = {"emailAddress": NameOID.EMAIL_ADDRESS, "serialNumber": NameOID.SERIAL_NUMBER}
"""Attributes that openssl writes by name, and RFC 4514 by number."""

logger = logs.get("hub.auth")


class PrincipalsError(HubError):
    """The file of principals cannot be used; says why."""

    status = 2


class Certificates:
    """A recogniser: the principal that a TOML file names for a certificate's subject.

    Each table of the file is named by a subject (RFC 4514), and has `role`, `namespace` and `names`
    as a token has them. Raises PrincipalsError.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._changes = FileChanges(path)
        self._grants = _read(path)
        self.problem: str | None = None
        """Why the last reading failed, in one plain phrase."""

    def look(self) -> bool:
        """Read the file again if it changed; blocks. Returns whether it says something else now."""
        if not self._changes.any():
            return False
        before = self._grants
        try:
            self._grants = _read(self._path)
        except PrincipalsError as error:
            self.problem = str(error)
            logger.error("principals not read again, the old ones stay", reason=self.problem)
            return False
        self.problem = None
        logger.info("principals read again", file=self._path, principals=len(self._grants))
        return self._grants != before

    def claims(self, evidence: Evidence) -> bool:
        """See `Recogniser.claims`: a token counts before a certificate."""
        return evidence.certificate is not None and evidence.credential is None

    def recognise(self, evidence: Evidence) -> Principal:
        """See `Recogniser.recognise`."""
        assert evidence.certificate is not None
        try:
            certificate = x509.load_der_x509_certificate(evidence.certificate)
            subject = certificate.subject.rfc4514_string()
        except ValueError:
            raise Unauthorized("malformed", "the client's certificate cannot be read") from None
        grant = self._grants.get(subject)
        if grant is None:
            raise Unauthorized(
                "unknown",
                f"the certificate's subject {subject} is not among tls_principals",
                f"certificate:{subject}",
            )
        return _principal(subject, grant, certificate.not_valid_after_utc.timestamp())

    async def look_up(self, evidence: Evidence) -> Principal:
        """See `Recogniser.look_up`."""
        return self.recognise(evidence)

    def ended(self, principal: Principal) -> str | None:
        """See `Recogniser.ended`: when the file says something else of the subject."""
        kind, _, subject = principal.id.partition(":")
        if kind != "certificate":
            return None
        grant = self._grants.get(subject)
        if grant is not None and principal == _principal(subject, grant, principal.not_after):
            return None
        return "what tls_principals says of the certificate has changed"


def _principal(subject: str, grant: Grant, not_after: float | None) -> Principal:
    return Principal(
        id=f"certificate:{subject}",
        role=grant.role,
        namespace=grant.reach,
        names=tuple(grant.names),
        not_after=not_after,
    )


def _read(path: str) -> dict[str, Grant]:
    """The grants by the subject, each in the one way of writing it that the library has."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PrincipalsError(f"tls_principals: {path} is larger than {MAX_BYTES:,} bytes")
        table = tomllib.loads(data.decode())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PrincipalsError(f"tls_principals: cannot read {path}: {why}") from None
    except (ValueError, RecursionError) as error:
        raise PrincipalsError(f"tls_principals: {path} is not valid TOML: {error}") from None
    grants: dict[str, Grant] = {}
    for subject, entry in table.items():
        where = f'tls_principals: ["{subject}"] in {path}'
        written = _canonical(subject)
        if written is None:
            raise PrincipalsError(f"{where} is no subject, such as CN=agent-1,O=Example")
        if written in grants:
            raise PrincipalsError(f"{where} is the subject of another table too")
        grants[written] = _grant(entry, where)
    return grants


def _canonical(subject: str) -> str | None:
    try:
        return x509.Name.from_rfc4514_string(subject, _NAMES).rfc4514_string()
    except ValueError:
        return None


def _grant(entry: Any, where: str) -> Grant:
    unknown = sorted(entry.keys() - set(Grant.__struct_fields__)) if isinstance(entry, dict) else []
    if unknown:
        known = ", ".join(Grant.__struct_fields__)
        raise PrincipalsError(f"{where}: no such key {unknown[0]}; there are {known}")
    try:
        return msgspec.convert(entry, Grant)
    except msgspec.ValidationError as error:
        words = str(error).replace("`", "").replace("$.", "")
        raise PrincipalsError(f"{where}: {words}") from None
