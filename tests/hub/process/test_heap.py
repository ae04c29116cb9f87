"""When freed memory is given back to the system."""

from __future__ import annotations

import asyncio
import threading

from hub.process.heap import FREED, Heap, give_back


class Library:
    def __init__(self) -> None:
        self.calls = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def give_back(self) -> None:
        self.go_on.wait(5)
        self.calls += 1


async def settle(heap: Heap) -> None:
    if heap._under_way is not None:
        await heap._under_way


async def test_memory_is_given_back_once_for_what_was_freed() -> None:
    library = Library()
    heap = Heap(library.give_back)
    for held in (0, 3 * FREED, 3 * FREED - 1, 2 * FREED + 1):
        heap.adapt(held)
        await settle(heap)
    assert library.calls == 0
    heap.adapt(2 * FREED)
    await settle(heap)
    assert library.calls == 1
    heap.adapt(2 * FREED)
    heap.adapt(FREED + 1)
    await settle(heap)
    assert library.calls == 1
    heap.adapt(0)
    await settle(heap)
    assert library.calls == 2


async def test_the_loop_goes_on_meanwhile_and_nothing_is_done_twice_at_once() -> None:
    library = Library()
    heap = Heap(library.give_back)
    library.go_on.clear()
    heap.adapt(9 * FREED)
    heap.adapt(5 * FREED)
    heap.adapt(0)
    await asyncio.sleep(0)
    assert library.calls == 0
    library.go_on.set()
    await settle(heap)
    assert library.calls == 1
    heap.adapt(0)
    await settle(heap)
    assert library.calls == 2, "what was freed meanwhile"


def test_it_can_be_given_back_on_any_system() -> None:
    give_back()
