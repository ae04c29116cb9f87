"""A store whose commits are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from actors.ports.clock import Scheduler
from actors.ports.store import (
    Away,
    Change,
    Committed,
    Fenced,
    ForeignRenewals,
    HubReport,
    Loaded,
    LogEntry,
    Looked,
    Opened,
    Position,
    Renewal,
    Roster,
    Store,
    Stored,
)
from hub.telemetry.metrics import CommitResult, Metrics


class MeteredStore:
    """Delegates to a store, and counts the result and the duration of each commit."""

    def __init__(self, store: Store, scheduler: Scheduler, metrics: Metrics) -> None:
        self._store = store
        self._now = scheduler.now
        self._finished = metrics.commit_finished

    @property
    def name(self) -> str:
        """See `actors.ports.store.Store`."""
        return self._store.name

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """See `actors.ports.store.Store`."""
        self._store.open(position, reply, new_log=new_log)

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """See `actors.ports.store.Store`."""
        self._store.load(reply)

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        """See `actors.ports.store.Store`."""
        began = self._now()

        def finished(answer: Committed | Fenced | Away) -> None:
            if changes:  # an empty commit only asks whether the store answers
                self._finished(_result(answer), len(changes), self._now() - began)
            reply(answer)

        self._store.commit(changes, finished, announce=announce, sent=sent)

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        """See `actors.ports.store.Store`."""
        self._store.read_log(position, upto, reply)

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        """See `actors.ports.store.Store`."""
        self._store.await_change(after, reply)

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """See `actors.ports.store.Store`."""
        self._store.read(agent_id, reply)

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        """See `actors.ports.store.Store`."""
        self._store.read_renewals(position, reply)

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        """See `actors.ports.store.Store`."""
        self._store.renew_lease(report, reply)

    def look(
        self, agent_ids: list[str], cursor: str, reply: Callable[[Looked | Fenced | Away], None]
    ) -> None:
        """See `actors.ports.store.Store`."""
        self._store.look(agent_ids, cursor, reply)

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        """See `actors.ports.store.Store`."""
        self._store.acknowledge_loss(revision, reply)


def _result(answer: Committed | Fenced | Away) -> CommitResult:
    match answer:
        case Committed():
            return "committed"
        case Fenced():
            return "fenced"
        case Away():
            return "away"
        case _:
            assert_never(answer)
