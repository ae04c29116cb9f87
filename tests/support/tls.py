"""A certificate for `hub.test`, `proxy.test` and `localhost`; good for a hundred years."""

from __future__ import annotations

import ssl
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "certificates" / "three-names.pem"
"""What a client must trust: SSL_CERT_FILE."""


KEY = CERTIFICATE.with_suffix(".key")

LOCKED_KEY = CERTIFICATE.with_name("with-passphrase.key")
"""A key that OpenSSL would ask for a passphrase for."""


def server_context(*, asks_for_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATE)
    return context
