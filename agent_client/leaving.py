"""Leaving the hubs when SIGTERM ends the process.

SIGTERM's default action ends a process at once: its agents would be lost instead of unregistered,
and listed as unreachable for `lease_ttl`. So while clients are open, and nobody else handles
SIGTERM, it is handled here:

1. All clients of the process leave at once, each on its own event loop.
2. When they have left, or after LEAVE_TIMEOUT, the process ends by SIGTERM as it would have.

No task is cancelled: what the program does meanwhile goes on until its end. A second SIGTERM ends
the process at once. A handler that somebody else installs, before or later, is never replaced.

Nothing here needs the program's event loop to turn, and the signal handler takes no lock: it may
interrupt the main thread anywhere.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from types import FrameType
from typing import NoReturn

LEAVE_TIMEOUT = 1.0
"""Seconds that all clients together have to unregister once a signal ends the process."""


_Handler = signal.Handlers | Callable[[int, FrameType | None], object]


class Leaver:
    """How a client leaves. `begin`, a method of its, does not keep it alive."""

    def __init__(self, begin: Callable[[], Future[None]]) -> None:
        self._begin = weakref.WeakMethod(begin)

    def begin(self) -> Future[None]:
        """Begin to leave, in any thread; RuntimeError: it cannot."""
        begin = self._begin()
        if begin is None:
            raise RuntimeError("the client is gone")
        return begin()


class Leaving:
    """The clients that are open in this process, and the handler of SIGTERM that has them leave."""

    def __init__(self) -> None:
        self.begun = False
        """Whether a signal is ending the process: what closes now has LEAVE_TIMEOUT for it."""
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Leaver] = weakref.WeakSet()  # clients need not be closed
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def add(self, leaver: Leaver) -> None:
        """A client is open from now on.

        Called in the main thread while SIGTERM has its default action, this installs the handler.
        """
        with self._lock:
            self._open.add(leaver)
        self._replace_handler(signal.SIG_DFL, self._signalled)

    def discard(self, leaver: Leaver) -> None:
        """The client is closed; with the last one the handler goes, if it is still there."""
        with self._lock:
            self._open.discard(leaver)
            last = not self._open
        if last:
            self._replace_handler(self._signalled, signal.SIG_DFL)

    @property
    def unhandled(self) -> bool:
        """Whether SIGTERM has its default action but for what is done here."""
        return signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, self._signalled)

    def _replace_handler(self, old: object, new: _Handler) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may set handlers
        try:
            if signal.getsignal(signal.SIGTERM) == old:
                signal.signal(signal.SIGTERM, new)
        except ValueError:  # not the main interpreter
            return

    def _signalled(self, signum: int, frame: FrameType | None) -> None:
        self.begun = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            # Not threading.Thread: starting one takes a lock that the main thread may hold now.
            _thread.start_new_thread(self._leave, ())
        except RuntimeError:
            end_by(signal.SIGTERM)

    def begin(self) -> list[Future[None]]:
        """Have all clients that are open begin to leave."""
        with self._lock:
            leavers = list(self._open)
        futures = []
        for leaver in leavers:
            with suppress(RuntimeError):
                futures.append(leaver.begin())
        return futures

    def _leave(self) -> None:
        try:
            wait(self.begin(), LEAVE_TIMEOUT)
        finally:
            end_by(signal.SIGTERM)

    def _forked(self) -> None:
        """A child holds none of its parent's registrations."""
        self.begun = False
        self._lock = threading.Lock()
        self._open = weakref.WeakSet()
        self._replace_handler(self._signalled, signal.SIG_DFL)


LEAVING = Leaving()
"""The one of this process."""


def end_by(signum: int) -> NoReturn:
    """End the process by a signal that has its default action."""
    os.kill(os.getpid(), signum)
    # Only process 1 of a container gets here: the kernel spares it the default action.
    os._exit(128 + signum)
