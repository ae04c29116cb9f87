"""A certificate for `hub.test`, `proxy.test` and `localhost`; good for a hundred years."""

from __future__ import annotations

import ssl
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "certificates" / "three-names.pem"
"""What a client must trust: SSL_CERT_FILE."""


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    return context
