"""The actor runtime: mailboxes, fair run-to-completion, bounds, supervision.

An actor is an object with `receive(message)`; it never awaits and is never entered twice. Its
mailbox is a list, and an idle actor costs nothing else: no task, no timer. Ready actors take
turns, a few messages each, until a time budget is used up; then the event loop goes on.

A handler that raises is reported with its message and the actor is restarted (`restarted`), which
must bring it back to its last committed state. One that keeps failing is isolated (`isolated`):
it receives nothing more, and its neighbours never notice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from actors.ports.clock import Scheduler
from actors.runtime.turns import Turns

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)

BUDGET = 0.005
"""Seconds of message handling after which the event loop goes on."""

TURN = 32
"""Messages that one actor may handle before the next ready one has its turn."""

MAX_RESTARTS = 3
RESTART_PERIOD = 5.0
"""An actor that fails more than MAX_RESTARTS times within RESTART_PERIOD seconds is isolated."""


class Actor(Protocol[M_contra]):
    """What the runtime asks of an actor."""

    def receive(self, message: M_contra) -> None:
        """Handle one message to completion."""
        ...

    def restarted(self, message: M_contra) -> None:
        """`receive` raised on `message`: return to the last committed state."""
        ...

    def isolated(self, messages: Sequence[M_contra]) -> None:
        """Too many failures: let go of everything.

        `messages` are the one that failed last and those still in the mailbox; none follows.
        """
        ...


Report = Callable[[str, object, BaseException], None]
"""Called with the actor's name, the message it failed on, and what it raised."""


class Ref(Generic[M]):
    """The only handle on an actor."""

    __slots__ = ("_actor", "_failures", "_mailbox", "_queued", "_runtime", "alive", "name")

    def __init__(self, runtime: Runtime, actor: Actor[M], name: str) -> None:
        self._runtime = runtime
        self._actor = actor
        self._mailbox: list[M] = []  # short, and an empty deque takes 0.7 KB
        self._queued = False
        self._failures: list[float] | None = None
        self.name = name
        self.alive = True

    def tell(self, message: M) -> bool:
        """Put `message` into the mailbox; False when the actor is gone.

        The mailbox itself is unbounded: senders bound what they have outstanding (a session its
        pipeline, the store its one batch), and deadlines send at most one message each.
        """
        if not self.alive:
            return False
        self._mailbox.append(message)
        if not self._queued:
            self._queued = True
            self._runtime._ready_now(self)
        return True

    def deliver(self, message: M) -> bool:
        """As `tell`, but handled before this returns if the actor is idle and no other is at work.

        For what comes from outside the actors one at a time, and would only wait in the mailbox.
        """
        runtime = self._runtime
        if self._queued or runtime._working or not self.alive:
            return self.tell(message)
        runtime._working = True
        try:
            self._actor.receive(message)
        except Exception as error:  # as in `Runtime._turn`
            runtime._failed(self, message, error)  # type: ignore[arg-type]
        finally:
            runtime._working = False
        return True

    @property
    def waiting(self) -> int:
        """Messages in the mailbox."""
        return len(self._mailbox)

    def stop(self) -> list[M]:
        """End the actor; returns the messages left in its mailbox, which will not be handled."""
        self.alive = False
        left = [*self._mailbox]
        self._mailbox.clear()
        return left


class Runtime:
    """Runs all actors of a hub on one scheduler."""

    def __init__(self, scheduler: Scheduler, report: Report) -> None:
        self._scheduler = scheduler
        self._report = report
        self._ready: deque[Ref[object]] = deque()
        self._scheduled = False
        self._working = False
        self.turns = Turns(scheduler, report)
        """Work that callers ask for, which changes no actor."""

    def spawn(self, actor: Actor[M], name: str) -> Ref[M]:
        """Give the actor a mailbox and return its reference."""
        return Ref(self, actor, name)

    @property
    def backlog(self) -> int:
        """Actors that have messages to handle."""
        return len(self._ready)

    def _ready_now(self, ref: Ref[M]) -> None:
        self._ready.append(ref)  # type: ignore[arg-type]
        if not self._scheduled:
            self._scheduled = True
            self._scheduler.call_soon(self._run)

    def _run(self) -> None:
        ready = self._ready
        until = self._scheduler.now() + BUDGET
        self._working = True
        while ready:
            ref = ready.popleft()
            self._turn(ref)
            if ready and self._scheduler.now() >= until:
                break
        self._working = False
        if ready:
            self._scheduler.call_soon(self._run)
        else:
            self._scheduled = False

    def _turn(self, ref: Ref[object]) -> None:
        mailbox = ref._mailbox
        receive = ref._actor.receive
        for _ in range(min(TURN, len(mailbox))):
            message = mailbox.pop(0)
            try:
                receive(message)
            except Exception as error:  # supervision: any bug of an actor ends here
                self._failed(ref, message, error)
            if not mailbox:  # also when the actor was stopped by this message
                break
        if mailbox and ref.alive:
            self._ready.append(ref)
        else:
            ref._queued = False

    def _failed(self, ref: Ref[object], message: object, error: Exception) -> None:
        try:
            self._report(ref.name, message, error)
        except Exception:  # noqa: S110 - a report that fails cannot be reported
            pass
        now = self._scheduler.now()
        failures = [at for at in ref._failures or () if now - at < RESTART_PERIOD]
        failures.append(now)
        ref._failures = failures
        try:
            if len(failures) <= MAX_RESTARTS:
                ref._actor.restarted(message)
                return
            ref._actor.isolated([message, *ref.stop()])
        except Exception as again:
            self._report(ref.name, message, again)
            ref.stop()
