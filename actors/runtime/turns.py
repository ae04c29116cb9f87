"""Turns: work that callers ask for, done in slices, so that none of it holds the loop for long.

Work is a generator that yields wherever it may be interrupted. One that nobody waits before begins
at once, and mostly ends at once. In one turn of the event loop all work together gets BUDGET; then
the loop goes on, with heartbeats, pongs, commits and renewals of the hub's own lease, none of which
waits here. What is not done by then goes on in the next turn, each in its order for SLICE: whoever
asks for dear things waits behind the others who do, and nobody else waits at all.

The queue itself has no bound. Its users have: a connection waits for each piece of work that it
asks for before it begins another, and so does an HTTP request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from actors.ports.clock import Scheduler
from homeport_protocol.errors import ProtocolError

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work that may be interrupted at each `yield`; a step takes well under a millisecond. It returns
its result, or raises ProtocolError."""

BUDGET = 0.001
"""Seconds of one turn of the event loop that all work together may take. A heartbeat needs some
turns until it is acknowledged: what is read, committed, answered and written is so in turns. Work
that begins right after a turn may take as much again before the loop goes on."""

SLICE = 0.0002
"""Seconds that one piece of work goes on while others wait."""

Report = Callable[[str, object, BaseException], None]
"""Called with what failed, its arguments, and what it raised."""


class Work(Generic[T]):
    """One piece of work; `over` once it has its result, or is cancelled."""

    __slots__ = ("_done", "_steps", "_under_way", "over")

    def __init__(self, steps: Steps[T], done: Callable[[T | ProtocolError], None]) -> None:
        self._steps = steps
        self._done = done
        self._under_way = False
        self.over = False

    def cancel(self) -> None:
        """Do no more of it; nobody is told a result."""
        self.over = True
        if not self._under_way:  # else at its next step
            self._steps.close()


class Turns:
    """The work of all callers of a hub, in turn."""

    def __init__(self, scheduler: Scheduler, report: Report) -> None:
        self._scheduler = scheduler
        self._report = report
        self._waiting: deque[Work[Any]] = deque()
        self._ahead: deque[Work[Any]] = deque()
        self._until = 0.0  # when the budget of this turn of the loop is used up
        self._begun = False  # a turn has begun, and `_turn` begins the next one
        self._working = False

    @property
    def waiting(self) -> int:
        """Pieces of work that are not done."""
        return len(self._waiting) + len(self._ahead)

    def attempt(self, steps: Steps[T]) -> T | None:
        """Do the work at once, and return or raise what it comes to.

        None when others wait, or when it takes longer than this turn has time: `later` goes on.
        """
        if self._working or self._waiting or self._ahead:
            return None
        now = self._scheduler.now()
        if not self._begun:
            self._begin()
            self._until = now + BUDGET
        until = self._until
        if now >= until:
            return None
        try:
            while True:
                next(steps)
                if self._scheduler.now() >= until:
                    return None
        except StopIteration as stop:
            value: T = stop.value
            return value

    def start(
        self,
        steps: Steps[T],
        done: Callable[[T | ProtocolError], None],
        *,
        ahead: bool = False,
    ) -> Work[T]:
        """Begin the work, now or when its turn comes; `done` is called once, with what it came to.

        A failure that is no ProtocolError is reported, and comes to `internal`. With `ahead` it is
        work for many, which goes before the others and leaves them half of each turn.
        """
        work = Work(steps, done)
        if not (self._working or self._waiting or self._ahead):
            now = self._scheduler.now()
            if not self._begun:
                self._begin()
                self._until = now + BUDGET
            if now < self._until:
                self._advance(work, self._until)
        if not work.over:
            self._queue(work, ahead=ahead)
        return work

    def later(self, steps: Steps[T], done: Callable[[T | ProtocolError], None]) -> Work[T]:
        """As `start`, but never before this returns; also goes on with what was attempted."""
        work = Work(steps, done)
        self._queue(work, ahead=False)
        return work

    def _queue(self, work: Work[Any], *, ahead: bool) -> None:
        (self._ahead if ahead else self._waiting).append(work)
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        self._scheduler.call_soon(self._turn)

    def _turn(self) -> None:
        now = self._scheduler.now()
        self._until = now + BUDGET
        self._working = True
        try:
            share = BUDGET / 2 if self._waiting else BUDGET
            now = self._take(self._ahead, now, now + share, share)
            self._take(self._waiting, now, self._until, SLICE)
        finally:
            self._working = False
            if self._waiting or self._ahead:
                self._scheduler.call_soon(self._turn)
            else:
                self._begun = False

    def _take(self, queue: deque[Work[Any]], now: float, until: float, slice: float) -> float:
        """Go on with what waits, each in its turn, until then; returns the time."""
        while queue and now < until:
            work = queue.popleft()
            if work.over:
                continue
            end = now + slice
            try:
                now = self._advance(work, min(end, until))
            except Exception as error:  # its `done` raised: none of the others' concern
                self._report("work", work, error)
            if not work.over:
                if now < end:  # cut off by the end of the turn
                    queue.appendleft(work)
                else:
                    queue.append(work)
        return now

    def _advance(self, work: Work[Any], until: float) -> float:
        """Go on with one, at least a step and not long after `until`; returns the time."""
        steps, clock = work._steps, self._scheduler.now
        result: Any
        work._under_way = True
        try:
            while True:
                next(steps)
                now = clock()
                if work.over:
                    steps.close()
                    return now
                if now >= until:
                    return now
        except StopIteration as stop:
            result = stop.value
        except ProtocolError as error:
            result = error
        except Exception as error:  # any bug of one request ends here
            self._report("work", steps, error)
            result = ProtocolError("internal", "the hub failed on this request; it has been logged")
        finally:
            work._under_way = False
        if not work.over:
            work.over = True
            work._done(result)
        return clock()


def complete(steps: Steps[T]) -> T:
    """Do all of it at once, and return or raise what it comes to."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
