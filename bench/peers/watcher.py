"""A raw watcher: every event of a directory with the instant at which it was heard."""

from __future__ import annotations

import asyncio
from typing import Self

from msgspec import UNSET, Struct

from bench.peers.raw_client import Push, RawClient
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
    """A watch, of everything by default, on a connection made for it.

    `log` and `revision` are its position: up to there it has heard everything, from `began_at` on.
    `restarts` counts the snapshots that came in the middle, because the log began anew.
    """

    def __init__(self) -> None:
        self.events: list[Seen] = []
        self.resumed = False
        self.restarts = 0
        self.log = ""
        self.revision = 0
        self.began_at = 0
        self._snapshots = 0
        self._begun = asyncio.Event()
        self._client: RawClient

    @classmethod
    async def open(
        cls, url: str, position: tuple[str, int] | None = None, filter: Filter = MATCH_ALL
    ) -> Self:
        """Connect, and watch from a position on, or else from a snapshot; all, or what matches."""
        watcher = cls()
        watcher._client = await RawClient.connect(url, on_push=watcher._pushed)
        log, since = position or (UNSET, UNSET)
        answer, _ = await watcher._client.demand(
            Watch(id=0, filter=filter, log=log, since=since), Watching
        )
        watcher.log = answer.log
        watcher.resumed = answer.resumed
        if answer.resumed and position is not None:
            watcher.began_at = position[1]
            watcher.revision = max(watcher.revision, position[1])
        else:
            await watcher._begun.wait()
        return watcher

    @property
    def position(self) -> tuple[str, int]:
        """Log and revision, at which another watch can go on."""
        return self.log, self.revision

    @property
    def ended(self) -> bool:
        return self._client.ended

    def close(self) -> None:
        self._client.abort()

    def ids(self, kind: str) -> set[str]:
        """The agents of the events of this kind."""
        return {event.agent.id for event in self.events if event.kind == kind}

    def ever_unreachable(self) -> list[str]:
        """The names of the agents of all events that show one as unreachable."""
        return [event.agent.name for event in self.events if event.agent.status == "unreachable"]

    def gaps(self) -> list[int]:
        """The revisions before which others are missing.

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

    def _pushed(self, push: Push, at: float) -> None:
        self.revision = push.revision
        if isinstance(push, Event):
            self.events.append(
                Seen(at, push.revision, push.kind, push.agent, push.coalesced is True)
            )
            return
        self.log = push.log
        if push.last:
            self._snapshots += 1
            if not self._begun.is_set():
                self.began_at = push.revision
            self.restarts = self._snapshots - 1 + int(self.resumed)
            self._begun.set()
