"""A worker that attacks a hub: `python -m bench.abuse.attacker`.

It has a low priority: on a machine that it shares with the hub and with honest agents, it takes
only the time that they leave, as one on another machine does. Words of the run: `prepare` does what
comes before, `go` begins the attack, `stop` ends it and asks what came of it.
"""

from __future__ import annotations

import asyncio
import os
import time

from msgspec import Struct

from bench.abuse.attacks import Aim, Attack, go_on, populate
from bench.errors import BenchError
from bench.rig.workers import Done, Run, work

LOW_PRIORITY = 15


class Attacked(Struct, frozen=True):
    """What came of an attack: see `bench.abuse.hostile.Tally`. `cpu` is the attacker's seconds."""

    seconds: float
    cpu: float
    opened: int
    most_open: int
    sent: int
    received: int
    done: int
    ends: dict[str, int]


async def _main(aim: Aim, run: Run) -> None:
    if hasattr(os, "nice"):
        os.nice(LOW_PRIORITY)
    attack = Attack(aim)
    began = time.monotonic()
    going: list[asyncio.Task[None]] = []

    async def prepare() -> Done:
        try:
            await populate(attack)
        except OSError as error:
            raise BenchError(f"the records could not be registered: {error}") from None
        return Done()

    def go() -> Done:
        nonlocal began
        began = time.monotonic()
        going.append(asyncio.create_task(go_on(attack)))
        return Done()

    async def stop() -> Attacked:
        for each in going:
            if each.done() and (error := each.exception()) is not None:
                raise BenchError(f"the attack ended by itself: {error!r}")
            each.cancel()
        tally = attack.tally
        return Attacked(
            seconds=time.monotonic() - began,
            cpu=time.process_time(),
            opened=tally.opened,
            most_open=tally.most_open,
            sent=tally.sent,
            received=tally.received,
            done=tally.done,
            ends=dict(tally.ends),
        )

    await run.serve({"prepare": prepare, "go": go, "stop": stop})


if __name__ == "__main__":
    work(Aim, _main)
