"""COMMAND: the child process of `homeport register`, and the signals that are passed on to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

import msgspec

from hub.cli.prctl import adopt_orphans, end_with
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
    """COMMAND as a child of this process, in its process group so that job control works as usual.

    It is forked before this process has threads, and waits with executing COMMAND until it is told:
    so it can ask the kernel, without a line of Python between the two, to be killed when this
    process is. All other children that this process gets are waited for as well: the orphans of
    COMMAND, where this is process 1 of a container or the kernel gives them to it. A context
    manager, at whose end nothing is left of a COMMAND that was not executed.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Fork; raises CommandError when there is no such command."""
        require(command[0])
        self._program = command[0]
        self._ended: asyncio.Future[int] | None = None
        self._status: int | None = None
        orders, self._orders = os.pipe()
        self._failure, failure = os.pipe()
        # Before the child can end: were this signal ignored, the child's status would be lost.
        self._previous = signal.signal(signal.SIGCHLD, self._on_child)
        adopt_orphans()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._orders)
            os.close(self._failure)
            _become(command, orders, failure, parent)
        os.close(orders)
        os.close(failure)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ended is None:
            os.close(self._orders)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._failure)
        signal.signal(signal.SIGCHLD, self._previous)

    async def execute(self, environment: Mapping[str, str | None]) -> None:
        """Execute COMMAND with `environment` added to that of this process.

        None stands for a variable that COMMAND does not get. Raises CommandError when that fails.
        """
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._loop = loop
        self._reap()  # it may have ended by a signal meanwhile
        with suppress(BrokenPipeError):
            os.write(self._orders, msgspec.json.encode(environment))
        os.close(self._orders)
        answered = asyncio.Event()
        loop.add_reader(self._failure, answered.set)  # an exec closes the pipe
        try:
            await answered.wait()
        finally:
            loop.remove_reader(self._failure)
        number = os.read(self._failure, 16)
        if number:
            raise _cannot_start(self._program, OSError(int(number), os.strerror(int(number))))

    def forward(self, number: int) -> None:
        """Pass a signal of this process on to COMMAND.

        A signal from the keyboard is not sent again: the terminal has already sent it to COMMAND,
        and many programs abort on a second one.
        """
        if self._status is not None or (number in FROM_THE_KEYBOARD and _in_foreground()):
            return
        os.kill(self._pid, number)  # not waited for yet, so the process id is still its own

    async def wait(self) -> int:
        """Wait until COMMAND has ended; return its exit status (128 + N for signal N)."""
        assert self._ended is not None, "execute() comes first"
        status = await self._ended
        return status if status >= 0 else SIGNALLED - status

    def _on_child(self, number: int, frame: FrameType | None) -> None:
        if self._ended is not None:
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        """Wait for all children that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._status = os.waitstatus_to_exitcode(status)
                assert self._ended is not None
                self._ended.set_result(self._status)


def _become(command: Sequence[str], orders: int, failure: int, parent: int) -> NoReturn:
    """In the child: wait for the orders, and become COMMAND."""
    try:
        # What Python set up for itself; what was ignored from the start stays ignored.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        end_with(parent, signal.SIGKILL)
        with open(orders, "rb") as pipe:
            environment = pipe.read()
        if environment:  # else there is nothing to do: the agent could not be registered
            for name, value in msgspec.json.decode(environment, type=dict[str, str | None]).items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            os.execvp(command[0], list(command))  # noqa: S606 - the user chose the program
    except OSError as error:
        os.write(failure, str(error.errno).encode())
    finally:
        os._exit(NOT_FOUND)


def require(program: str) -> None:
    """Raise CommandError unless `program` can be started; called before registering."""
    if shutil.which(program) is not None:
        return
    if os.path.dirname(program) and os.path.exists(program):
        raise _cannot_start(program, PermissionError())
    raise _cannot_start(program, FileNotFoundError())


def _cannot_start(program: str, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError):
        if shutil.which(program) is None:
            return CommandError(f"{program}: command not found", NOT_FOUND)
        error = OSError("there is no such interpreter as its first line names")
    why = (
        "it is not an executable file"
        if isinstance(error, PermissionError)
        else error.strerror or error
    )
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
