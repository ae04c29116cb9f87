"""A worker that times how soon a hub answers: `python -m bench.peers.prober`.

It sends a `ping` (of the contract, which the hub answers from memory) at fixed instants, whether
or not the one before has been answered, so that a hub that stands still is charged for every
instant of it. The lag of the hub's event loop is part of each round trip, as is everything else
that keeps a peer waiting: the round trip is an upper bound of the lag.

Words of the run: `probe` begins, on a connection made for it; `report` ends it.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from bench.peers.raw_client import Heard, RawClient
from bench.rig.workers import Run, work
from homeport_protocol.requests import Ping

LAST_ANSWERS = 10.0  # seconds to wait for the last answers


class Prober(Struct, frozen=True, kw_only=True):
    """`every` is the seconds between two pings."""

    url: str
    every: float = 0.02


class Probing(Struct, frozen=True):
    """The prober is connected; that took so many seconds."""

    after: float


class Probed(Struct, frozen=True):
    """Seconds from each instant at which a ping was due until its answer, oldest first.

    `late` are the seconds by which the prober itself was late to send it: they are in the former.
    """

    answered: list[float]
    late: list[float]


async def _main(spec: Prober, run: Run) -> None:
    await run.receive("probe")
    began = time.monotonic()
    client = await RawClient.connect(spec.url)
    run.answer(Probing(time.monotonic() - began))
    dues: list[float] = []
    answers: list[asyncio.Future[Heard]] = []
    late: list[float] = []

    async def ask_on() -> None:
        due = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            dues.append(due)
            answers.append(client.send(Ping(id=0)))
            due += spec.every

    asking = asyncio.create_task(ask_on())
    await run.receive("report")
    asking.cancel()
    async with asyncio.timeout(LAST_ANSWERS):
        heard = await asyncio.gather(*answers)
    run.answer(Probed([each.at - due for due, each in zip(dues, heard, strict=True)], late))


if __name__ == "__main__":
    work(Prober, _main)
