"""COMMAND: the child process of `homeport register`, and the signals that are passed on to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

from hub.errors import HubError

FORWARDED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
"""Signals that would end the sidecar itself if it did not pass them on."""

FROM_THE_KEYBOARD = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name)
)
"""Signals that a terminal sends to its whole foreground process group, COMMAND included."""

NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit statuses as in a shell; SIGNALLED is added to the signal's number."""


class CommandError(HubError):
    """COMMAND could not be started; `status` is the exit status of a shell in that case."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Signals:
    """Catches the forwarded signals while entered, and gives them to `receiver` on the loop.

    Until there is a receiver, the first signal is kept: it is the result of `first`. A signal that
    was ignored from the start (`nohup`, a shell's background job) stays ignored.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._previous: dict[int, Any] = {}
        self.first: asyncio.Future[int] = self._loop.create_future()
        self.receiver: Callable[[int], None] | None = None

    def __enter__(self) -> Signals:
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._deliver, number)

    def _deliver(self, number: int) -> None:
        if self.receiver is not None:
            self.receiver(number)
        elif not self.first.done():
            self.first.set_result(number)


class Child:
    """A running COMMAND, in the sidecar's process group so that job control works as usual."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start `command` with `environment` added to that of this process; raises CommandError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **environment}
            )
        except OSError as error:
            raise _cannot_start(command[0], error) from None
        return cls(process)

    def forward(self, number: int) -> None:
        """Pass a signal of this process on to COMMAND.

        A signal from the keyboard is not sent again: the terminal has already sent it to COMMAND,
        and many programs abort on a second one.
        """
        if number in FROM_THE_KEYBOARD and _in_foreground():
            return
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            pass  # it has just ended; `wait` reports that

    async def wait(self) -> int:
        """Wait until COMMAND has ended; return its exit status (128 + N for signal N)."""
        status = await self._process.wait()
        return status if status >= 0 else SIGNALLED - status


def require(program: str) -> None:
    """Raise CommandError unless `program` can be started; called before registering."""
    if shutil.which(program) is not None:
        return
    if os.path.dirname(program) and os.path.exists(program):
        raise _cannot_start(program, PermissionError())
    raise _cannot_start(program, FileNotFoundError())


def _cannot_start(program: str, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError):
        return CommandError(f"{program}: command not found", NOT_FOUND)
    why = "it is not an executable file" if isinstance(error, PermissionError) else error.strerror
    return CommandError(f"{program} cannot be run: {why}", NOT_EXECUTABLE)


def _in_foreground() -> bool:
    """Whether the terminal sends keyboard signals to this process group."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except (OSError, AttributeError):  # no controlling terminal; no terminals at all (Windows)
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
