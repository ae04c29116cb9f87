"""One callback a turn for all who have something to write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.websocket.outbox import Flusher


class Writer:
    def __init__(self, written: list[str], name: str, then: Callable[[], None] | None = None):
        self.written = written
        self.name = name
        self.then = then

    def flush(self) -> None:
        self.written.append(self.name)
        if self.then is not None:
            self.then()


async def test_all_of_a_turn_write_at_its_end_in_their_order():
    flusher, written = Flusher(), []
    for name in "abc":
        flusher.add(Writer(written, name))
    assert written == []
    await asyncio.sleep(0)
    assert written == ["a", "b", "c"]
    await asyncio.sleep(0)
    assert written == ["a", "b", "c"]


async def test_who_has_something_again_while_others_write_does_so_in_the_next_turn():
    flusher, written = Flusher(), []
    flusher.add(Writer(written, "a", lambda: flusher.add(Writer(written, "again"))))
    flusher.add(Writer(written, "b"))
    await asyncio.sleep(0)
    assert written == ["a", "b"]
    await asyncio.sleep(0)
    assert written == ["a", "b", "again"]
