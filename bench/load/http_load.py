"""A worker that loads servers with HTTP requests: `python -m bench.load.http_load`.

Every connection is kept alive and has one request outstanding. The words of the run are the names
of aims; each is measured for the seconds that the spec gives, and answered with what was seen.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import cast

import msgspec
from msgspec import Struct

from bench.errors import BenchError
from bench.rig.waiting import until
from bench.rig.workers import Run, work

WARM_UP = 0.2  # seconds of load before each measurement
PATIENCE = 30.0  # seconds within which the last answers must come

_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Aim(Struct, frozen=True, kw_only=True):
    """What is asked of one server: `requests` in turn, each to be answered with `status`.

    With `undo`, agents that were registered are taken back afterwards: a request in which `{id}`
    stands for the id of each.
    """

    name: str
    host: str
    port: int
    requests: list[bytes]
    status: int
    undo: bytes = b""


class HttpLoadSpec(Struct, frozen=True, kw_only=True):
    """`connections` are opened anew for each measurement."""

    aims: list[Aim]
    connections: int
    seconds: float


class Seen(Struct, frozen=True, kw_only=True):
    """What one measurement saw.

    `rate` are answers a second, `share` is what this worker used of a core; `latencies` are
    seconds; `bodies` the last answer of each connection; `wrong` the heads of answers with another
    status, of those that came before and after the measurement too.
    """

    rate: float
    share: float
    latencies: list[float]
    bodies: list[bytes]
    wrong: list[str]


class _Tally:
    """What all connections of a measurement share."""

    def __init__(self, requests: Iterator[bytes], status: int, *, keep: bool) -> None:
        self.requests = requests
        self.status = b" %d " % status
        self.lengths: dict[bytes, int | None] = {}
        self.latencies: list[float] = []
        self.bodies: list[bytes] = []
        self.keep = keep
        self.wrong: list[str] = []


class _Caller(asyncio.Protocol):
    """One connection, which sends the next request when the last answer is complete."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._answer = bytearray()
        self._body_at = 0
        self._ends_at: int | None = 0  # None: at its last chunk
        self._sent = 0.0
        self._transport: asyncio.Transport
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The body of the last answer, once there are no more requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._body_at and not self._read_head():
            return
        if self._ends_at is None:
            if not self._answer.endswith(_LAST_CHUNK):
                return
        elif len(self._answer) < self._ends_at:
            return
        self._tally.latencies.append(time.monotonic() - self._sent)
        if self._tally.keep:
            self._tally.bodies.append(bytes(self._answer[self._body_at :]))
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(BenchError(f"the server hung up: {exc or 'no reason given'}"))

    def _next(self) -> None:
        request = next(self._tally.requests, None)
        if request is None:
            self.ended.set_result(bytes(self._answer[self._body_at :]))
            self._transport.abort()
            return
        self._answer.clear()
        self._body_at = 0
        self._sent = time.monotonic()
        self._transport.write(request)

    def _read_head(self) -> bool:
        end = self._answer.find(_END_OF_HEAD)
        if end < 0:
            return False
        self._body_at = end + len(_END_OF_HEAD)
        head = bytes(self._answer[:end])
        tally = self._tally
        if head not in tally.lengths:  # they differ in their Date only
            tally.lengths[head] = _length(head)
        if tally.status not in head[:13]:
            tally.wrong.append(head[:60].decode(errors="replace"))
        length = tally.lengths[head]
        self._ends_at = None if length is None else self._body_at + length
        return True


def _length(head: bytes) -> int | None:
    """Bytes of the body; None where it comes in chunks."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return None


async def _measure(aim: Aim, connections: int, seconds: float) -> Seen:
    under_way = True
    requests = itertools.takewhile(lambda _: under_way, itertools.cycle(aim.requests))
    tally = _Tally(requests, aim.status, keep=bool(aim.undo))
    callers = await _connect(aim, tally, connections)
    await asyncio.sleep(WARM_UP)
    first, began, cpu = len(tally.latencies), time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    # The rate of a server that is slower than that is known once it has answered each connection.
    enough = first + connections
    await until(f"{aim.name}: answers", lambda: len(tally.latencies) >= enough, PATIENCE)
    last, ended, used = len(tally.latencies), time.monotonic(), time.process_time() - cpu
    under_way = False
    bodies = await _ended(aim, callers)
    if aim.undo:
        ids = [msgspec.json.decode(body)["agent_id"].encode() for body in tally.bodies]
        undone = _Tally((aim.undo.replace(b"{id}", each) for each in ids), 200, keep=False)
        await _ended(aim, await _connect(aim, undone, connections))
        tally.wrong += undone.wrong
    return Seen(
        rate=(last - first) / (ended - began),
        share=used / (ended - began),
        latencies=tally.latencies[first:last],
        bodies=bodies,
        wrong=tally.wrong,
    )


async def _connect(aim: Aim, tally: _Tally, count: int) -> list[_Caller]:
    loop = asyncio.get_running_loop()
    try:
        return [
            (await loop.create_connection(lambda: _Caller(tally), aim.host, aim.port))[1]
            for _ in range(count)
        ]
    except OSError as error:
        raise BenchError(f"{aim.name}: cannot connect: {error}") from None


async def _ended(aim: Aim, callers: list[_Caller]) -> list[bytes]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.gather(*(caller.ended for caller in callers))
    except TimeoutError:
        raise BenchError(f"{aim.name}: no answer for {PATIENCE:g} s") from None


async def _main(spec: HttpLoadSpec, run: Run) -> None:
    await run.serve(
        {aim.name: partial(_measure, aim, spec.connections, spec.seconds) for aim in spec.aims}
    )


if __name__ == "__main__":
    work(HttpLoadSpec, _main)
