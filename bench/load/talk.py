"""The requests of a load and their right answers, prepared so that asking costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from msgspec import Struct, structs

from homeport_protocol.codec import encode
from homeport_protocol.filters import Filter
from homeport_protocol.requests import Find, Heartbeat

FIRST_ID = 100  # ids have three digits, so that all requests of a kind have the same length


class Talk(Struct, frozen=True):
    """Requests that are sent in turn, again and again, and what the answers to them begin with.

    All requests have the same length. The answer to `requests[n]` must begin with `answers[n]`,
    and `holds` must be in it, best near its end.
    """

    requests: list[str]
    answers: list[str]
    holds: str = ""

    @property
    def size(self) -> int:
        return len(self.requests[0])


def heartbeats(outstanding: int, *said: Heartbeat) -> Talk:
    """Heartbeats, each acknowledged in its turn and durable; they say `said` in turn, or nothing.

    All in `said` must have the same length.
    """
    ids = range(FIRST_ID, FIRST_ID + max(4, outstanding))
    words = cycle(said or (Heartbeat(id=0),))
    return Talk(
        [encode(structs.replace(next(words), id=number)).decode() for number in ids],
        [f'{{"op":"heartbeat_ack","id":{number},' for number in ids],
        '"durable":true',
    )


def finds(filters: Sequence[Filter], count: int) -> Talk:
    """`find` with these filters in turn, each of which finds so many agents."""
    asked = list(zip(range(FIRST_ID, FIRST_ID + max(4, len(filters))), cycle(filters)))
    return Talk(
        [encode(Find(id=number, filter=filter)).decode() for number, filter in asked],
        [f'{{"op":"agents","id":{number},' for number, _ in asked],
        f'"count":{count},',
    )


def constant(size: int, answer: str) -> Talk:
    """Messages of `size` bytes, which are all answered with the same words."""
    messages = echo(size, 4).requests
    return Talk(messages, [answer] * len(messages))


def echo(size: int, outstanding: int) -> Talk:
    """Messages of `size` bytes, each different from the next, which come back as they are."""
    messages = [f"{number:<{size}}" for number in range(FIRST_ID, FIRST_ID + max(4, outstanding))]
    return Talk(messages, messages)
