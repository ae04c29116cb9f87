"""Ask the hub of this container whether it is ready: exit status 0, or 1 with its answer.

The port comes from where `homeport serve` has it: HOMEPORT_PORT, PORT, or the file that
HOMEPORT_CONFIG names, and so does whether the hub speaks TLS. A `--port` or `--tls-cert` on the
command line is not seen here: set HOMEPORT_PORT and HOMEPORT_TLS_CERT instead.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys

from hub.errors import HubError
from hub.settings import load_settings


def main() -> int:
    try:
        settings = load_settings({}, os.environ)
        # Not urllib, which would send this through a proxy that the environment names.
        connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=2.0)
        if settings.tls_cert is not None:
            # The certificate is for another name than 127.0.0.1, and nothing secret is sent.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                "127.0.0.1", settings.port, timeout=2.0, context=context
            )
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        words = answer.read(4096).decode(errors="replace")
    except (HubError, OSError, http.client.HTTPException) as error:
        print(f"the hub cannot be asked: {error}")
        return 1
    if answer.status != 200:
        print(words)
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
