"""For all tests."""

from __future__ import annotations

import signal

# A suite that is started in the background inherits SIGINT as ignored, and with `nohup` SIGHUP too;
# so would the programs that tests start and interrupt. With handlers here, they begin with the
# default. The suite itself still ends on SIGINT, and still lives through a SIGHUP that was ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
