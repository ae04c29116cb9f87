"""Ask the hub of this container whether it is ready: exit status 0, or 1 with its answer.

The port comes from where `homeport serve` has it: HOMEPORT_PORT, PORT, or the file that
HOMEPORT_CONFIG names. A `--port` on the command line is not seen here: set HOMEPORT_PORT instead.
"""

from __future__ import annotations

import http.client
import os
import sys

from hub.errors import HubError
from hub.settings import load_settings


def main() -> int:
    try:
        port = load_settings({}, os.environ).port
        # Not urllib, which would send this through a proxy that the environment names.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
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
