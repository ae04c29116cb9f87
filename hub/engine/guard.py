"""The guard: a small process that ends the store server when the hub has ended.

    python -I -S guard.py LOCK DIRECTORY PROGRAM [ARGUMENT…]

The hub holds the other end of the guard's standard input. When that pipe ends (because the hub
stops, or ends in any other way, `kill -9` included), or when the guard itself is asked to end, the
server gets SIGTERM, on which it writes out everything it has accepted, and SIGKILL after 5 seconds.
The guard writes the server's process id to standard output, ends when the server has ended, and
exits with the server's status (128 + N for signal N).

LOCK is the number of an inherited descriptor; guard and server both keep it open, so that the lock
is released when both have ended. The guard leads a separate session, which Ctrl-C and signals to
the hub's process group do not reach. On Linux the kernel ends the server if the guard is killed;
elsewhere the next hub asks such an orphan to shut down before it starts another server.

Only the standard library is imported, and this file is run by its path: a guard starts in some
hundredths of a second, and does not depend on files that an upgrade of the hub may remove. With
`-I` nothing in the working directory or the environment can change what it imports.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CANNOT_EXECUTE = 127


def main(arguments: list[str]) -> int:
    """Run the server until it ends; return the server's exit status."""
    lock, directory, command = int(arguments[0]), arguments[1], arguments[2:]
    os.chdir(directory)
    os.umask(0o077)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_END_SIGNALS):
        signal.signal(number, lambda *_: None)  # wakes `select` through the wakeup descriptor

    os.set_inheritable(lock, True)
    guard = os.getpid()
    # Blocked until the child has reset the guard's handlers, which would swallow the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
    server = os.fork()
    if server == 0:
        _execute(command, guard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
    with suppress(OSError):  # the hub is already gone, which the ended pipe shows below
        os.write(sys.stdout.fileno(), f"{server}\n".encode())
    return _supervise(server, wake_read)


def _execute(command: list[str], guard: int) -> None:
    """In the child process: become the server; never returns."""
    try:
        # A separate group, so that the server's children (rewriting the log) can be ended with it.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, *_END_SIGNALS):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
        _die_with_parent(guard)
        nothing = os.open(os.devnull, os.O_RDONLY)
        # Neither the pipe from the hub nor the one to the hub: both must end with the guard.
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.execv(command[0], command)  # noqa: S606 - the hub chose the program
    except BaseException as error:
        os.write(2, f"cannot run {command[0]}: {error}\n".encode())
    finally:
        os._exit(_CANNOT_EXECUTE)


def _die_with_parent(parent: int) -> None:
    """On Linux, have the kernel send SIGTERM when the guard ends."""
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes  # noqa: PLC0415 - used on Linux only, and may be missing

        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)  # 1: PR_SET_PDEATHSIG
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(_CANNOT_EXECUTE)  # it ended before the request to the kernel


def _supervise(server: int, wake: int) -> int:
    deadline: float | None = None
    hub = sys.stdin.fileno()
    watched = [hub, wake]
    while True:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], timeout)
        over = False
        if wake in readable:
            with suppress(BlockingIOError):
                over = any(number in _END_SIGNALS for number in os.read(wake, 4096))
        if hub in readable and not os.read(hub, 4096):
            watched = [wake]
            over = True
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            with suppress(OSError):
                os.killpg(server, signal.SIGKILL)  # its remaining children; usually none
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        # Until `waitpid` has collected it, the process id cannot belong to another process.
        if over and deadline is None:
            deadline = time.monotonic() + PATIENCE
            os.kill(server, signal.SIGTERM)
            os.kill(server, signal.SIGCONT)  # a stopped process does not handle SIGTERM
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(server, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
