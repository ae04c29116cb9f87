"""The order in which a connection's requests are performed, and when it is read no further.

Requests are answered in order. Those for the connection's agent go to its actor, several at a time;
the actor keeps their order. A query behind them waits until they are answered, so that it sees what
they did, and everything behind a registration waits for its outcome. Queries also wait for a peer
that has much to read before it asks for more.
"""

from __future__ import annotations

from typing import Protocol

from actors.ports.link import Link
from actors.watch.watch import HIGH_WATER
from homeport_protocol.errors import ProtocolError
from homeport_protocol.requests import Heartbeat, Request, Unregister, Update

MAX_PIPELINE = 256
"""Requests not yet answered beyond which the connection is not read, until half are."""

MAX_HELD_BYTES = 256 * 1024
"""Bytes of large messages beyond which the connection is not read until all are answered."""

LARGE = 4096
"""Bytes from which on a message is large: MAX_PIPELINE of those below have a megabyte at most."""

Item = Request | ProtocolError
"""A request, or why a message was none: refusals keep the order too."""

FOR_ITS_AGENT = (Heartbeat, Update, Unregister)
"""Requests to the connection's agent; its actor answers them in order."""


class Performer(Protocol):
    """Performs the requests of one connection."""

    def perform(self, item: Item) -> None:
        """The item's turn has come.

        Call `Pipeline.begin` or `begin_alone` for one that is not answered at once, and `answered`
        when it has been.
        """
        ...


class Pipeline:
    """The requests of one connection that are not answered yet."""

    __slots__ = (
        "_advancing",
        "_alone",
        "_large",
        "_link",
        "_paused",
        "_performer",
        "_queue",
        "unanswered",
        "undecoded",
    )

    def __init__(self, link: Link, performer: Performer) -> None:
        self._link = link
        self._performer = performer
        self._queue: list[Item] = []  # mostly empty, and an empty deque takes 0.7 KB
        self._alone = False  # everything waits until what is under way has been answered
        self._advancing = False
        self._paused = False
        self._large = 0  # bytes of large messages since nothing was held
        self.unanswered = 0
        """Requests under way."""
        self.undecoded = 0
        """Messages that are not requests yet, since their turn has not come."""

    @property
    def free(self) -> bool:
        """Whether a request to the connection's agent need not wait."""
        return not (self._alone or self._queue)

    def take(self, item: Item) -> None:
        """Perform an item now, or when its turn comes."""
        if self._queue or self._must_wait(item):
            self._queue.append(item)
        else:
            self._performer.perform(item)
        if self.unanswered + len(self._queue) >= MAX_PIPELINE:
            self.regulate()

    def large_came(self, size: int) -> None:
        """A large message came, of so many bytes, which are held until it is answered."""
        if not self._held:
            self._large = 0
        self._large += size
        if self._large >= MAX_HELD_BYTES:
            self.regulate()

    def begin(self) -> None:
        """A request is under way at the agent's actor."""
        self.unanswered += 1

    def begin_alone(self) -> None:
        """A request is under way that no actor keeps in order with those behind it."""
        self.unanswered += 1
        self._alone = True

    def answered(self) -> None:
        """A request that was under way has been answered."""
        self.unanswered -= 1
        self._alone = False
        if self._queue:
            self._advance()
        if self._paused:
            self.regulate()

    def go_on(self) -> None:
        """The peer has read on: perform what waited for that."""
        if self._queue:
            self._advance()
        if self._paused:
            self.regulate()

    def clear(self) -> None:
        """The connection has ended: perform nothing more."""
        self._queue.clear()

    def regulate(self) -> None:
        """Stop reading a peer that asks faster than it is answered, or read it again."""
        held = self._held
        too_large = held > 0 and self._large >= MAX_HELD_BYTES
        if not self._paused and (held >= MAX_PIPELINE or too_large):
            self._paused = True
            self._link.pause_reading()
        elif self._paused and held <= MAX_PIPELINE // 2 and not too_large:
            self._paused = False
            self._link.resume_reading()

    @property
    def _held(self) -> int:
        return len(self._queue) + self.unanswered + self.undecoded

    def _must_wait(self, item: Item) -> bool:
        """Whether earlier requests have to be answered first, or their answers to be read."""
        if isinstance(item, FOR_ITS_AGENT):
            return self._alone
        return self.unanswered > 0 or self._link.unsent >= HIGH_WATER

    def _advance(self) -> None:
        """Perform what need not wait. What is answered at once comes back here, once."""
        if self._advancing:
            return
        self._advancing = True
        queue = self._queue
        while queue and not self._must_wait(queue[0]):
            self._performer.perform(queue.pop(0))
        self._advancing = False
