"""A worker that asks for dear things, as fast as it can: `python -m bench.faults.dear_callers`.

Each connection asks one kind of thing, with filters that no index answers and that nobody has asked
before: `find` and `pick` among all agents, `watch` from the beginning of the log, and lists and
picks over HTTP. Words of the run: `go` has them connect and ask; `answers` ends that, and asks how
many of each kind were answered.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from urllib.parse import quote

from msgspec import Struct

from bench.errors import BenchError
from bench.peers.http_client import HttpCaller
from bench.peers.raw_client import RawClient
from bench.rig.workers import Done, Run, work
from homeport_protocol.answers import Error, Watching
from homeport_protocol.filters import MAX_CLAUSES, MAX_TERMS, MAX_WORDS, Filter
from homeport_protocol.requests import Find, Pick, Unwatch, Watch

WATCHES = 16  # watches that one connection begins before it ends them again


class DearCallers(Struct, frozen=True, kw_only=True):
    """So many connections, each of which has `pipelined` requests under way.

    Watches begin at revision `since` of `log`.
    """

    url: str
    websocket_url: str
    connections: int
    pipelined: int
    log: str
    since: int


class Answers(Struct, frozen=True):
    """How many requests of each kind were answered, and the refusals."""

    answered: dict[str, int]
    refused: list[str]


class _Callers:
    def __init__(self, spec: DearCallers) -> None:
        self._spec = spec
        self._numbers = itertools.count()
        self.answered: Counter[str] = Counter()
        self.refused: list[str] = []

    def filter(self) -> Filter:
        """One that no caller has asked for before; each agent must be looked at."""
        number = next(self._numbers)
        words = [f"w{number}-{each}" for each in range(MAX_WORDS - 1)]
        clauses = [f"!=0.{number}.{each}" for each in range(MAX_CLAUSES)]
        paths: dict[str, object] = {f"a.b.{each}": number for each in range(MAX_TERMS - 4)}
        metadata = paths if number % 2 else {}
        return Filter(
            any_capability=[*words, "probe"], version=",".join(clauses), metadata=metadata
        )

    async def finds(self) -> None:
        client = await RawClient.connect(self._spec.websocket_url)
        while True:
            asked = [
                client.send(Find(id=0, filter=self.filter(), limit=100))
                for _ in range(self._spec.pipelined)
            ]
            self._note("find", [(await each).answer for each in asked])

    async def picks(self) -> None:
        client = await RawClient.connect(self._spec.websocket_url)
        while True:
            asked = [
                client.send(Pick(id=0, filter=self.filter(), strategy="sticky", key="key"))
                for _ in range(self._spec.pipelined)
            ]
            self._note("pick", [(await each).answer for each in asked])

    async def watches(self) -> None:
        client = await RawClient.connect(self._spec.websocket_url)
        log, since = self._spec.log, self._spec.since
        while True:
            asked = [
                client.send(Watch(id=0, filter=self.filter(), log=log, since=since))
                for _ in range(WATCHES)
            ]
            answers = [(await each).answer for each in asked]
            self._note("watch", answers)
            for each in answers:
                if isinstance(each, Watching):
                    await client.ask(Unwatch(id=0, watch=each.watch))

    async def lists(self) -> None:
        await self._over_http("GET /agents", "/agents?limit=100")

    async def http_picks(self) -> None:
        await self._over_http("GET /agents/pick", "/agents/pick?strategy=least_loaded")

    async def _over_http(self, kind: str, path: str) -> None:
        async with HttpCaller(self._spec.url) as caller:
            while True:
                answer = await caller.call("GET", path + self._parameters())
                self.answered[kind] += answer.status in (200, 404)  # 404: no agent matches
                if answer.status not in (200, 404):
                    self.refused.append(f"{kind}: {answer.status} {answer.body[:200]!r}")

    def _parameters(self) -> str:
        filter = self.filter()
        words = filter.any_capability or []
        pairs = [("any_capability", word) for word in words]
        pairs.append(("version", str(filter.version)))
        pairs += [(f"meta.{path}", f"v{value}") for path, value in (filter.metadata or {}).items()]
        return "".join(f"&{name}={quote(value, safe='')}" for name, value in pairs)

    def _note(self, kind: str, answers: Sequence[object]) -> None:
        for each in answers:
            if isinstance(each, Error) and each.code != "no_match":
                self.refused.append(f"{kind}: {each.code}: {each.message}")
            else:
                self.answered[kind] += 1


async def _main(spec: DearCallers, run: Run) -> None:
    callers = _Callers(spec)
    tasks: list[asyncio.Task[None]] = []

    def go() -> Done:
        kinds: Iterator[Callable[[], Coroutine[None, None, None]]] = itertools.cycle(
            [callers.finds, callers.watches, callers.lists, callers.picks, callers.http_picks]
        )
        for ask in itertools.islice(kinds, spec.connections):
            tasks.append(asyncio.create_task(ask()))
        return Done()

    def answers() -> Answers:
        for each in tasks:
            if each.done() and (error := each.exception()) is not None:
                raise BenchError(f"a dear caller ended: {error}")
            each.cancel()
        return Answers(dict(callers.answered), callers.refused)

    await run.serve({"go": go, "answers": answers})


if __name__ == "__main__":
    work(DearCallers, _main)
