"""The port for logs and metrics: what the brain reports."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from actors.limits import LimitName
from actors.ports.audit import Audited
from homeport_protocol.bounds import Kind
from homeport_protocol.record import AgentRecord

ForeignWrite = Literal["registered", "changed", "deleted", "overwritten"]
"""What a program that is no hub did to an agent: `overwritten` when its session holds it, so that
its record was written back."""


class Observer(Protocol):
    """Gets what happens, for logs; nothing comes back."""

    def changed(self, kind: Kind, record: AgentRecord, *, here: bool) -> None:
        """A change became durable; `here`: this hub made it."""
        ...

    def audited(self, act: Audited) -> None:
        """Somebody did, or was refused, what an audit log tells of."""
        ...

    def store_away(self, reason: str) -> None:
        """The store does not answer."""
        ...

    def store_returned(self, log: str, *, fresh: bool, why: str) -> None:
        """The store answers (again); `fresh` when a new log was begun, and `why`, as one phrase."""
        ...

    def rolled_back(self, found: str) -> None:
        """The store came back older while no hub was alive; `found` says how that shows."""
        ...

    def takeover_refused(self, agent_id: str, times: int) -> None:
        """Programs take this id from each other; told at most once a minute for each."""
        ...

    def store_slow(self, seconds: float | None) -> None:
        """The store takes so long to answer; None: it is fast again."""
        ...

    def unreadable(self, data: bytes) -> None:
        """A stored record is unreadable and is left alone."""
        ...

    def answered(self, op: str, outcome: str) -> None:
        """A request over a websocket was answered; `outcome` is `ok` or an error code."""
        ...

    def stalled(self, seconds: float) -> None:
        """The hub itself was stopped or stalled for `seconds`."""
        ...

    def hubs_changed(self, hubs: list[str]) -> None:
        """Another hub came or went; `hubs` are alive now."""
        ...

    def hubs_differ(self, sentences: list[str]) -> None:
        """Hubs of the cluster have other times than this one; an empty list: none any more."""
        ...

    def removal_held(self, why: str | None) -> None:
        """Removal of some agents is held, and `why`; None when it goes on."""
        ...

    def foreign_writes(self, warning: str) -> None:
        """A program that is no hub writes to the store; the sentence says how many agents it wrote.

        Called for each of its writes that is noticed.
        """
        ...

    def limited(self, setting: LimitName) -> None:
        """A limit was applied; `setting` is its name."""
        ...


class Stats(Struct, frozen=True, kw_only=True):
    """What exists now, and the totals of what this hub did since it started."""

    agents: dict[str, int]
    actors: int
    deadlines: int
    sessions: int
    watches: int
    revision: int
    agent_bytes: int
    log_bytes: int
    pending_changes: int
    heartbeats: int
    events: dict[Kind, int]
    commits: int
    foreign_writes: dict[ForeignWrite, int]
    fenced: int
    takeovers_refused: int
    rollbacks: int
    mailbox: int
    waiting: int
    hubs: int
    agents_lost_at_once: int
    removal_held_until: float
    round_trip: float

    @property
    def changes(self) -> int:
        """Changes that this hub wrote."""
        return sum(self.events.values())

    @property
    def expired(self) -> int:
        """Agents that this hub removed because their lease ran out."""
        return self.events["expired"]
