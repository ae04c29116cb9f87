"""What each signal does to a serving process; no signal that a person sends by mistake ends it.

| signal | effect |
|---|---|
| SIGTERM, SIGINT, SIGQUIT | the first stops gracefully; a second one ends the process at once |
| SIGHUP | reads the settings again, and reopens the audit log; no connection is closed |
| SIGUSR1 | writes into the log where the process is: figures, and the stack of every thread |
| SIGUSR2 | is logged and ignored |
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable

from hub.telemetry import logs

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
OTHER_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

logger = logs.get("hub")


def ignore_until_serving() -> None:
    """Ignore the signals that end no hub, for as long as nothing handles them yet."""
    for number in OTHER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def handle_signals(
    *, stop: Callable[[], None], reload: Callable[[], None], report: Callable[[], None]
) -> None:
    """Handle all signals in the running loop, as the table above says."""
    loop = asyncio.get_running_loop()
    stopping = False

    def stop_signalled(number: signal.Signals) -> None:
        nonlocal stopping
        if stopping:
            logger.warning("signal received again; ending at once", signal=number.name)
            _end(number)
        stopping = True
        logger.info("signal received", signal=number.name)
        stop()

    def signalled(number: signal.Signals, act: Callable[[], None] | None) -> None:
        if act is None:
            logger.info("signal received and ignored", signal=number.name)
        else:
            logger.info("signal received", signal=number.name)
            act()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop_signalled, number)
    for number, act in zip(OTHER_SIGNALS, (reload, report, None), strict=True):
        loop.add_signal_handler(number, signalled, number, act)
    # At once and without the loop, so that a process that hangs shows where.
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True, chain=True)


def _end(number: signal.Signals) -> None:
    """End by the signal itself, so that whoever waits for the process sees what ended it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # SIGQUIT would leave a core of what is no crash.
    number = signal.SIGTERM if number is signal.SIGQUIT else number
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
