"""A worker that never stands still: `python -m bench.faults.soak.churn`.

Words of the run: `live` begins so many lives side by side, each followed by another one;
`report` tells how far they are; `leave` lets the lives under way end, and no others begin.
"""

from __future__ import annotations

import asyncio
import gc
import random

from msgspec import Struct

from agent_client import HomeportError
from bench.errors import BenchError
from bench.faults.soak import agents, callers
from bench.faults.soak.place import Place, Times
from bench.rig.workers import Run, work

_LIVES = {**agents.LIVES, **callers.LIVES}


class ChurnSpec(Struct, frozen=True, kw_only=True):
    """`lives` go on side by side at the hub of this URL, whose settings are `times`."""

    url: str
    lives: int
    times: Times


class Lived(Struct, frozen=True):
    """How often each life has been lived, how often each answer came, and what went wrong."""

    lives: dict[str, int]
    answers: dict[str, int]
    troubles: list[str]


async def _main(spec: ChurnSpec, run: Run) -> None:
    gc.enable()  # in half an hour there is much to collect, and nothing here is timed
    place = Place(spec.url, spec.times)
    await run.word("live")
    under_way = [asyncio.create_task(_live_on(place)) for _ in range(spec.lives)]
    while await run.word("report", "leave") == "report":
        run.tell(_lived(place))
    place.leaving = True
    await asyncio.gather(*under_way)
    run.tell(_lived(place))


async def _live_on(place: Place) -> None:
    """One life after the other."""
    await place.pause(3.0)  # not all at once
    while not place.leaving:
        (life,) = random.choices([*_LIVES], [*_LIVES.values()])
        name = f"{life.__module__.rpartition('.')[2]}: {life.__name__.replace('_', ' ')}"
        try:
            await life(place)
        except (BenchError, HomeportError, OSError, EOFError, AssertionError) as error:
            place.trouble(f"{name}: {type(error).__name__}: {error}")
            await place.pause()
        place.lived[name] += 1


def _lived(place: Place) -> Lived:
    return Lived(dict(place.lived), dict(place.answers), place.troubles)


if __name__ == "__main__":
    work(ChurnSpec, _main)
