"""For all tests."""

from __future__ import annotations

import signal

# A suite that is started in the background inherits SIGINT as ignored, and so would the programs
# that tests start and interrupt. With a handler here, they begin with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
