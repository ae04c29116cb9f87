"""The asks that the change under way will answer, and all that waits behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import UNSET, UnsetType

from actors.agent.messages import Ask, Heartbeat, Message, Queued
from actors.agent.outcomes import Outcome
from actors.rules.records import says_nothing_new
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentRecord

MAX_WAITING = 1024
"""Asks that may wait for their turn; one more is answered `rate_limited`."""


class TooLate(Protocol):
    """The answer to an ask that waited too long, for its change or (not `under_way`) its turn."""

    def __call__(self, ask: Ask, *, under_way: bool) -> Outcome: ...


class AskQueue:
    """The asks of one agent, in the order in which they came; each is answered exactly once."""

    __slots__ = ("_in_hand", "under_way", "waiting")

    def __init__(self) -> None:
        self._in_hand: Queued | None = None
        self.under_way: list[Ask] = []
        self.waiting: list[Queued] = []  # mostly empty, and an empty deque takes 0.7 KB

    def wait(self, message: Queued) -> None:
        """Put a message behind all others; an ask beyond MAX_WAITING is refused."""
        if len(self.waiting) >= MAX_WAITING and isinstance(message, Ask):
            message.reply(ProtocolError("rate_limited", "too many requests wait for this agent"))
        else:
            self.waiting.append(message)

    def next(self) -> Queued:
        """The message whose turn it is."""
        self._in_hand = self.waiting.pop(0)
        return self._in_hand

    def done(self) -> None:
        """The message whose turn it was has been handled.

        If it were kept, it would keep its session alive, and the session this queue: a circle that
        the garbage collector does not see, since it does not track messages (`gc=False`).
        """
        self._in_hand = None

    def superseded_by(self, heartbeat: Heartbeat, record: AgentRecord) -> float | UnsetType:
        """Have one renewal serve the heartbeat, and those right behind it that say nothing new.

        `record` is what the heartbeat makes of the agent. Returns the newest load of them all.
        """
        asks, load = [heartbeat], heartbeat.changes.load
        for message in self.waiting:
            if (
                not isinstance(message, Heartbeat)
                or message.session is not heartbeat.session
                or message.caller != heartbeat.caller
            ):
                break
            changes = message.changes
            if changes is not NO_CHANGES:
                if not says_nothing_new(record, changes):
                    break
                if changes.load is not UNSET:
                    load = changes.load
            asks.append(message)
        del self.waiting[: len(asks) - 1]
        self.under_way = [*asks]
        return load

    def take(self) -> list[Ask]:
        """The asks of the change that has just ended."""
        asks, self.under_way = self.under_way, []
        return asks

    def again(self) -> None:
        """The change under way was not made: its asks wait once more, before all others."""
        self.waiting[:0] = self.take()

    def answer(self, outcome: Outcome) -> None:
        """Answer all asks of the change that has just ended, each when it is taken away."""
        while self.under_way:
            self.under_way.pop(0).reply(outcome)

    def answer_each(self, outcome: Callable[[Ask], Outcome]) -> None:
        """As `answer`, with an outcome that depends on the ask."""
        while self.under_way:
            ask = self.under_way.pop(0)
            ask.reply(outcome(ask))

    def expire(self, late: float, too_late: TooLate, *, away: bool) -> bool:
        """Answer the asks that came at `late` or before.

        While the store is `away`, heartbeats with nothing else before them are answered as well.
        Returns whether nobody is left who wants the change under way.
        """
        asks = self.under_way
        self.under_way = [ask for ask in asks if ask.at > late]
        for ask in asks:
            if ask.at <= late:
                ask.reply(too_late(ask, under_way=True))
        unwanted = bool(asks) and not self.under_way and not isinstance(asks[0], Heartbeat)
        waiting, self.waiting = self.waiting, []
        for message in waiting:
            first = not self.under_way and not self.waiting
            if isinstance(message, Ask) and (
                message.at <= late or (away and first and isinstance(message, Heartbeat))
            ):
                message.reply(too_late(message, under_way=False))
            else:
                self.waiting.append(message)
        return unwanted

    def fail(self, messages: Sequence[Message]) -> None:
        """Answer every ask `internal`, those in `messages` too, in the order in which they came.

        What of it was done before, or will be, is not known.
        """
        words = "the hub failed on this request; it has been logged"
        error = ProtocolError("internal", words, outcome="unknown")
        asks = [
            each
            for each in (*self.take(), self._in_hand, *self.waiting, *messages)
            if isinstance(each, Ask)
        ]
        self.waiting = [each for each in self.waiting if not isinstance(each, Ask)]
        self._in_hand = None
        for ask in {id(ask): ask for ask in asks}.values():
            ask.reply(error)
