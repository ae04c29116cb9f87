"""A worker whose peers come and go all the time: `python -m bench.faults.soak.churn`.

Words of the run: `live` begins so many lives side by side, each followed by another one;
`report` asks how far they are; `leave` lets the lives under way end, and begins no others.
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
from bench.rig.workers import Done, Run, work

_LIVES = {**agents.LIVES, **callers.LIVES}


class ChurnSpec(Struct, frozen=True, kw_only=True):
    """`lives` go on side by side at the hub of this URL, whose settings are `times`."""

    url: str
    lives: int
    times: Times


class Lived(Struct, frozen=True):
    """How often each life was lived and each answer came, and what went wrong."""

    lives: dict[str, int]
    answers: dict[str, int]
    troubles: list[str]


async def _main(spec: ChurnSpec, run: Run) -> None:
    gc.enable()  # there is much to collect in half an hour, and nothing is timed here
    place = Place(spec.url, spec.times)
    under_way: list[asyncio.Task[None]] = []

    def live() -> Done:
        under_way.extend(asyncio.create_task(_live_on(place)) for _ in range(spec.lives))
        return Done()

    def report() -> Lived:
        return Lived(dict(place.lived), dict(place.answers), place.troubles)

    async def leave() -> Lived:
        place.leaving = True
        await asyncio.gather(*under_way)
        return report()

    await run.serve({"live": live, "report": report, "leave": leave})


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


if __name__ == "__main__":
    work(ChurnSpec, _main)
