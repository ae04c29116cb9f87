"""COMMAND: the child process of `homeport register`, and the signals that are meant for it."""

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
"""What would end the sidecar itself if it did not pass it on."""

FROM_THE_KEYBOARD = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name)
)
"""What a terminal sends to its whole foreground process group, COMMAND included."""

NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit statuses as a shell gives them; SIGNALLED is added to the signal's number."""


class CommandError(HubError):
    """COMMAND could not be started; `status` is the exit status that a shell would give."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Signals:
    """Catches the forwarded signals while entered, and hands them to `receiver` on the loop.

    Until there is a receiver the first one is kept: `first` becomes done with its number. A signal
    that was ignored from the start (`nohup`, a shell's background job) stays ignored.
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
    """A running COMMAND, in the sidecar's own process group so that job control stays natural."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start `command` with `environment` added to ours; raises CommandError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **environment}
            )
        except OSError as error:
            raise _cannot_start(command[0], error) from None
        return cls(process)

    def forward(self, number: int) -> None:
        """Send a signal that this process got on to COMMAND.

        One from the keyboard is not sent again: the terminal has given it to COMMAND already, and
        many programs take a second one as the order to drop everything.
        """
        if number in FROM_THE_KEYBOARD and _in_foreground():
            return
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            pass  # it has just ended, which `wait` reports

    async def wait(self) -> int:
        """COMMAND's exit status; 128+N when signal N ended it."""
        status = await self._process.wait()
        return status if status >= 0 else SIGNALLED - status


def require(program: str) -> None:
    """Raise CommandError unless `program` can be started; asked before anything is registered."""
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
    """Whether this process group is the one that a terminal's keyboard signals go to."""
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
