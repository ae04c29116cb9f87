"""The certificate that the port shows: read again when its files change, dropping nobody.

Each reading makes a new `SSLContext`, which is for new connections only. It shares no session
tickets with the old one, so that a client whose authority was removed cannot resume its way in.
"""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime

from hub.errors import HubError
from hub.net.file_changes import FileChanges
from hub.telemetry import logs

SOON = 14 * 24 * 3600.0
"""Seconds before the end of a certificate from which on its end is a warning."""

logger = logs.get("hub.tls")


class TlsError(HubError):
    """The certificate, its key, or the authorities of clients cannot be used."""

    status = 2


class ServerCertificate:
    """A certificate with its key, and whose certificates clients may show.

    `cert` and `key` are PEM files, one file where `key` is empty; `client_ca` has the authorities
    of clients' certificates, empty for none. Raises TlsError with one plain sentence.
    """

    def __init__(self, cert: str, key: str = "", client_ca: str = "") -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self._changes = FileChanges(*filter(None, (cert, key, client_ca)))
        self._problem: str | None = None
        self._said: str | None = None
        self.context = self._read()
        """The context for the next connection."""

    def look(self) -> None:
        """Read the files again if they changed; blocks while it reads. Keeps the old ones else."""
        if not self._changes.any() and self._problem is None:
            return
        before, self._problem = self._problem, None
        try:
            self.context = self._read()
        except TlsError as error:
            self._problem = str(error)
            # The first failure may be between the writing of one file and the other.
            if self._problem in (before, self._said) and self._said != self._problem:
                self._said = self._problem
                logger.error("certificate not read again, the old one stays", reason=self._problem)
        else:
            self._said = None
            logger.info("certificate read again", file=self._cert, ends=self._end.isoformat())

    def warnings(self) -> list[str]:
        """What an operator should see to, in one plain phrase each."""
        found = []
        if self._said is not None:
            found.append(f"the old TLS certificate is still in use: {self._said}")
        left = self._end.timestamp() - time.time()
        when = self._end.isoformat().replace("+00:00", "Z")
        if left <= 0:
            found.append(f"the TLS certificate ran out at {when}: replace {self._cert}")
        elif left <= SOON:
            found.append(f"the TLS certificate runs out at {when}: replace {self._cert}")
        return found

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        # No client of ours resumes a session, and a ticket would stay in the transport as unsent.
        context.num_tickets = 0
        try:
            context.load_cert_chain(self._cert, self._key or None, password=_no_password)
        except (OSError, ValueError) as error:
            raise TlsError(self._why(error)) from None
        if self._client_ca:
            # Optional: a client without a certificate may have a token.
            context.verify_mode = ssl.CERT_OPTIONAL
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as error:
                raise TlsError(f"tls_client_ca: {_words(error, self._client_ca)}") from None
        self._end = _end_of(self._cert)
        return context

    def _why(self, error: Exception) -> str:
        """What is wrong with the certificate or its key; the library names neither."""
        for setting, path in (("tls_cert", self._cert), ("tls_key", self._key)):
            if path:
                try:
                    with open(path, "rb"):
                        pass
                except OSError as unreadable:
                    return f"{setting}: {_words(unreadable, path)}"
        blamed = self._key or self._cert
        if isinstance(error, _PasswordWantedError):
            return f"tls_key: {blamed} is encrypted; give the key without a password"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"tls_key: {blamed} is not the key of the certificate in {self._cert}"
        if "-----BEGIN CERTIFICATE" not in _text(self._cert):
            return f"tls_cert: {self._cert} has no certificate in PEM form"
        if "PRIVATE KEY-----" not in _text(blamed):
            return f"tls_key: {blamed} has no private key in PEM form"
        return f"tls_cert, tls_key: {_words(error, self._cert)}"


class _PasswordWantedError(ValueError):
    """The key is encrypted; without this the library would ask at the terminal."""


def _no_password() -> str:
    raise _PasswordWantedError


def _words(error: Exception, path: str) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, ssl.SSLError):
        if reason in ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"):
            return f"{path} has no certificate in PEM form"
        words = str(reason or "unknown error").lower().replace("_", " ")
        return f"{path} cannot be used ({words})"
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot read {path}: {why.lower()}"


def _text(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError:
        return ""


def _end_of(path: str) -> datetime:
    """When the first certificate in a PEM file runs out."""
    from cryptography import x509  # noqa: PLC0415 - only hubs with TLS need it

    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        return certificate.not_valid_after_utc.astimezone(UTC)
    except (OSError, ValueError) as error:
        raise TlsError(f"tls_cert: {_words(error, path)}") from None
