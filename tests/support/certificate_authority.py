"""A small certificate authority, made anew for each test that needs certificates."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

LOCAL = ("localhost", "127.0.0.1", "::1")


class Pair(NamedTuple):
    """The PEM files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Issues certificates; `file` is the one that who trusts it needs."""

    def __init__(self, directory: Path, name: str = "Test Authority") -> None:
        self.directory = directory
        self.name = x509.Name.from_rfc4514_string(f"CN={name}")
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issued = 0
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._stem = name.lower().replace(" ", "-")
        self.file = directory / f"{self._stem}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def _identifier(self) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())

    def issue(
        self,
        subject: str = "CN=hub",
        *,
        names: tuple[str, ...] = LOCAL,
        lasts: timedelta = timedelta(days=90),
        client: bool = False,
        peer: bool = False,
        into: Pair | None = None,
    ) -> Pair:
        """A new certificate for the subject (RFC 4514); replaces the files `into`, if given.

        It is a server's, or a `client`'s; of a `peer` both.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] if client or peer else []
        usages += [] if client else [ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(subject))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + lasts) - timedelta(days=1))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier),
                critical=False,
            )
        )
        if not client:
            alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._issued += 1
        stem = f"{self._stem}-{self._issued}"
        pair = into or Pair(self.directory / f"{stem}.pem", self.directory / f"{stem}.key")
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def trusting(self, shown: Pair | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority, and shows a certificate."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
