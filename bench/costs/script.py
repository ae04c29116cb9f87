"""The commit script alone: the server's time for each kind of change, in batches of some sizes."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import Literal

from actors.limits import Limits
from actors.ports.store import Applied, Away, Change, Committed, Fenced, Opened, Position, Renewal
from actors.rules.records import head_of, new_record
from actors.rules.states import DerivedStatus
from bench.costs.server import StoreAccount
from bench.errors import BenchError
from bench.peers.raw_fleet import agent_spec
from bench.results.report import Report
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import format_timestamp
from hub.store import Keys, RedisStore, connect

BATCHES = (1, 16, 256)
EPOCH = 2**50
"""Beyond the clock, so that the epoch of a registration is known without asking."""

TTL = 600.0
KINDS: dict[Literal["register", "write"], Kind] = {"register": "registered", "write": "updated"}


class Writer:
    """A store that is opened, and the agents that it registered."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._agents: list[tuple[AgentRecord, int]] = []
        self._sequence = 0
        self.applied = 0
        self.refused = 0

    async def open(self) -> None:
        """Open the store for writing."""
        answer: asyncio.Future[Opened | Away] = asyncio.get_running_loop().create_future()
        self._store.open(Position(), answer.set_result, new_log=False)
        if isinstance(await answer, Away):
            raise BenchError("the store could not be opened")

    async def register(self, count: int, batch: int) -> None:
        """Register so many new agents."""
        now = format_timestamp(time.time())
        healthy = DerivedStatus("websocket", "healthy", "ok")
        for first in range(0, count, batch):
            records = [
                new_record(str(uuid.uuid4()), agent_spec(number), healthy, now)
                for number in range(first, first + batch)
            ]
            changes: list[Change | Renewal] = [
                self._change("register", record, 0) for record in records
            ]
            results = await self._commit(changes)
            self._agents += zip(records, results, strict=True)

    async def renew(self, count: int, batch: int) -> None:
        """Renew entries of random agents."""
        for _ in range(0, count, batch):
            chosen = random.sample(self._agents, batch)
            await self._commit([_renewal(*each) for each in chosen])

    async def change(self, count: int, batch: int) -> None:
        """Write changes that are logged."""
        for _ in range(0, count, batch):
            places = random.sample(range(len(self._agents)), batch)
            changes: list[Change | Renewal] = [
                self._change("write", *self._agents[place]) for place in places
            ]
            for place, revision in zip(places, await self._commit(changes), strict=True):
                self._agents[place] = self._agents[place][0], revision

    def _change(
        self, operation: Literal["register", "write"], record: AgentRecord, revision: int
    ) -> Change:
        self._sequence += 1
        return Change(
            operation=operation,
            kind=KINDS[operation],
            agent_id=record.id,
            epoch=EPOCH - 1 if operation == "register" else EPOCH,
            head=head_of(record),
            hub="hub-a",
            ttl=TTL,
            key=f"bench:{self._sequence}",
            revision=revision,
        )

    async def _commit(self, changes: list[Change | Renewal]) -> list[int]:
        answer: asyncio.Future[Committed | Fenced | Away]
        answer = asyncio.get_running_loop().create_future()
        self._store.commit(changes, answer.set_result, announce=True, sent=None)
        committed = await answer
        if not isinstance(committed, Committed):
            raise BenchError("the store did not commit")
        applied = [each.revision for each in committed.results if isinstance(each, Applied)]
        self.applied += len(applied)
        self.refused += len(changes) - len(applied)
        return applied


def _renewal(record: AgentRecord, revision: int) -> Renewal:
    return Renewal(
        agent_id=record.id,
        epoch=EPOCH,
        head=head_of(record),
        hub="hub-a",
        ttl=TTL,
        revision=revision,
    )


async def measure_script(report: Report, url: str, changes: int) -> int:
    """Note what each kind of change costs the server; returns how many were refused."""
    account = StoreAccount(url)
    backend = await connect(url, hub_id="hub-a", command_timeout=10.0)
    limits = Limits(log_length=1_000_000, max_log_bytes=1 << 30)
    store = RedisStore(backend, Keys(), "hub-a", limits=limits, command_timeout=10.0)
    try:
        writer = Writer(store)
        await writer.open()
        await _measure_memory(report, account, writer, changes)
        works = {
            "renewal": writer.renew,
            "logged change": writer.change,
            "registration": writer.register,
        }
        for what, work in works.items():
            for batch in BATCHES:
                cpu, script = await account.cpu(), await account.script_time()
                before = writer.applied
                await work(changes, batch)
                applied = writer.applied - before
                cpu, script = await account.cpu() - cpu, await account.script_time() - script
                words = f"{what}, batches of {batch}: CPU of Redis"
                report.figure(words, cpu / applied * 1e6, "µs")
                report.figure("  the script's part", script / applied * 1e6, "µs")
        return writer.refused
    finally:
        await store.close()
        await backend.aclose()
        await account.empty()
        await account.aclose()


async def _measure_memory(
    report: Report, account: StoreAccount, writer: Writer, changes: int
) -> None:
    before = await account.memory()
    await writer.register(changes, max(BATCHES))
    log = await account.log_memory()
    entries = await account.memory() - before - log
    agents = writer.applied
    report.figure("Redis memory per agent", entries / agents, "B")
    report.figure("Redis memory per entry of the log", log / agents, "B")
    await writer.renew(changes, max(BATCHES))
    renewals = writer.applied - agents
    report.figure(
        "Redis memory per announced renewal, for 30 s",
        await account.seen_memory() / renewals,
        "B",
    )
