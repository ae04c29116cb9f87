"""A worker that times how soon a hub answers: `python -m bench.peers.prober`.

It sends a `ping` (of the contract, which the hub answers from memory) at fixed instants, whether
or not the one before has been answered, so that a hub that stands still is charged for every
instant of it. What the hub's event loop lags behind is in each round trip, and all that else
keeps a peer waiting: it is an upper bound of the lag.

Words of the run: `probe` begins, on a connection of its own; `report` ends it.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from bench.peers.raw_client import Driver, Heard
from bench.rig.workers import Run, work
from homeport_protocol.requests import Ping

LAST_ANSWERS = 10.0
"""Seconds that answers are waited for once no more is asked."""


class ProberSpec(Struct, frozen=True, kw_only=True):
    """`every` is the seconds between two pings."""

    url: str
    every: float = 0.02


class Probing(Struct, frozen=True):
    """The prober is connected, since so many seconds after it was told to."""

    after: float


class Probed(Struct, frozen=True):
    """Seconds from each instant at which a ping was due until its answer, oldest first.

    `late` are the seconds by which the prober itself was late to send it: they are in the former.
    """

    answered: list[float]
    late: list[float]


async def _main(spec: ProberSpec, run: Run) -> None:
    await run.word("probe")
    began = time.monotonic()
    driver = await Driver.connect(spec.url)
    run.tell(Probing(time.monotonic() - began))
    asked: list[tuple[float, asyncio.Future[Heard]]] = []
    late: list[float] = []
    asking = asyncio.create_task(_ask_on(driver, spec.every, asked, late))
    await run.word("report")
    asking.cancel()
    async with asyncio.timeout(LAST_ANSWERS):
        heard = await asyncio.gather(*(future for _, future in asked))
    dues = [due for due, _ in asked]
    run.tell(Probed([each.at - due for due, each in zip(dues, heard, strict=True)], late))


async def _ask_on(
    driver: Driver,
    every: float,
    asked: list[tuple[float, asyncio.Future[Heard]]],
    late: list[float],
) -> None:
    due = time.monotonic()
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        late.append(time.monotonic() - due)
        asked.append((due, driver.send(Ping(id=0))))
        due += every


if __name__ == "__main__":
    work(ProberSpec, _main)
