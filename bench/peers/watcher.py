"""A raw watcher: every event of a directory with the instant at which it was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from msgspec import UNSET, Struct

from bench.errors import BenchError
from bench.peers.raw_client import Driver, Push
from homeport_protocol.answers import Event, Watching
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Watch


class Seen(Struct, frozen=True, gc=False):
    """An event, and when it was heard (`time.monotonic()`).

    `coalesced`: older states of the agent were left out, as this watcher had read too slowly.
    """

    at: float
    revision: int
    kind: str
    agent: AgentRecord
    coalesced: bool

    @property
    def unreachable(self) -> bool:
        """Whether it says that the agent has become unreachable."""
        return self.kind == "status_changed" and self.agent.status == "unreachable"


class Watcher:
    """Watches on a connection of its own.

    `known` are the agents of its snapshot, by id. `stands_at` is the log and revision up to which
    it has heard everything. `restarts` counts snapshots that came in the middle, because the log
    began anew.
    """

    def __init__(self) -> None:
        self.events: list[Seen] = []
        self.known: dict[str, AgentRecord] = {}
        self.resumed = False
        self.began_at = 0
        self.restarts = 0
        self._log = ""
        self._revision = 0
        self._snapshots = 0
        self._begun = asyncio.Event()
        self._news = asyncio.Event()
        self._driver: Driver

    @classmethod
    async def open(
        cls, url: str, filter: Filter = MATCH_ALL, position: tuple[str, int] | None = None
    ) -> Self:
        """Connect, and watch from `position` (log, revision) on, or from a snapshot."""
        watcher = cls()
        watcher._driver = await Driver.connect(
            url, on_push=watcher._pushed, on_end=watcher._news.set
        )
        log, since = position or (UNSET, UNSET)
        answer, _ = await watcher._driver.demand(
            Watch(id=0, filter=filter, log=log, since=since), Watching
        )
        watcher._log = answer.log
        watcher.resumed = answer.resumed
        if answer.resumed and position is not None:
            watcher.began_at = position[1]
            watcher._revision = max(watcher._revision, position[1])
        else:
            await watcher._begun.wait()
        return watcher

    @property
    def stands_at(self) -> tuple[str, int]:
        """The log, and the revision up to which everything has been heard."""
        return self._log, self._revision

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._driver.ended

    def gaps(self) -> list[int]:
        """The revisions before which others are missing, for a watch that matches everything.

        Those that a coalesced event may stand for are not: it comes later than what it stands for.
        """
        coalesced = max((each.revision for each in self.events if each.coalesced), default=0)
        expected, missing = self.began_at, []
        for event in self.events:
            expected += 1
            if event.revision != expected and event.revision > coalesced:
                missing.append(event.revision)
            expected = event.revision
        return missing

    def of(self, agent_id: str) -> list[Seen]:
        """The events of one agent."""
        return [event for event in self.events if event.agent.id == agent_id]

    async def until(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Wait until `done`, asked after each event; raises BenchError that it did not happen."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    if self._driver.ended:
                        raise BenchError(f"the watcher's connection ended while waiting for {what}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise BenchError(f"not seen within {seconds:g} s: {what}") from None

    def close(self) -> None:
        """Watch no more."""
        self._driver.abort()

    def _pushed(self, push: Push, at: float) -> None:
        self._revision = push.revision
        if isinstance(push, Event):
            self.events.append(
                Seen(at, push.revision, push.kind, push.agent, push.coalesced is True)
            )
        else:
            self._log = push.log
            self.known.update((agent.id, agent) for agent in push.agents)
            if push.last:
                self._snapshots += 1
                if not self._begun.is_set():
                    self.began_at = push.revision
                self.restarts = self._snapshots - 1 + int(self.resumed)
                self._begun.set()
        self._news.set()
