"""The brain's events as log lines and counts; at info if operators act on them, else at debug."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from actors.limits import LimitName
from actors.ports.audit import REFUSALS, Audited
from actors.timing import HUB_LEASE
from homeport_protocol.bounds import Kind
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.record import AgentRecord
from hub.telemetry import logs
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics

REPEAT_AFTER = 60.0
"""Seconds after which the same cause of an outage is logged again."""

logger = logs.get("hub.directory")
_level_logger = logging.getLogger("hub.directory")


class HubObserver:
    """The brain's observer for one namespace; `unreadable` gets what is stored and no record.

    `store` is what people know the store by, and `exists` whether the namespace does.
    """

    def __init__(
        self,
        namespace: str,
        metrics: Metrics,
        limits: LimitReports,
        lease_ttl: float,
        unreadable: Callable[[bytes], None] = lambda _: None,
        *,
        audit: AuditLog,
        store: str = "Redis",
        exists: Callable[[], bool] = lambda: True,
    ) -> None:
        self._audit = audit
        self._store = store
        self._logger = logger.bind(namespace=namespace)
        self._lease_ttl = lease_ttl
        self._unreadable = unreadable
        self._exists = exists
        self._warned = False
        self._away_for, self._away_at = "", 0.0
        self._foreign_at = -REPEAT_AFTER
        self._default = namespace == DEFAULT_NAMESPACE
        self._differing: set[str] = set()
        self._limits = limits
        self._namespace = namespace
        self.answered = metrics.websocket_answered

    def audited(self, act: Audited) -> None:
        """Somebody did, or was refused, what the audit log tells of."""
        if act.outcome in REFUSALS:
            self._audit.refused(act, self._namespace)
        else:
            self._audit.done(act, self._namespace)

    def changed(self, kind: Kind, record: AgentRecord, *, here: bool) -> None:
        """A change of the directory became durable."""
        if here and kind == "expired":
            self.audited(
                Audited(
                    what="expire",
                    agent_id=record.id,
                    name=record.name,
                    epoch=record.epoch,
                    revision=record.revision,
                )
            )
        unreachable = kind == "status_changed" and record.status == "unreachable"
        level = logging.INFO if unreachable or kind == "expired" else logging.DEBUG
        # structlog checks the level only after it has built the event, which is expensive.
        if not _level_logger.isEnabledFor(level):
            return
        self._logger.log(
            level,
            f"agent {record.status if kind == 'status_changed' else kind}",
            agent=record.name,
            agent_id=record.id,
            reason=record.health.reason,
            epoch=record.epoch,
            revision=record.revision,
        )

    def store_away(self, reason: str) -> None:
        """Changes cannot be written for now."""
        # Once for each cause: a server that comes and goes would fill the log.
        now = time.monotonic()
        if reason != self._away_for or now - self._away_at >= REPEAT_AFTER:
            self._away_for, self._away_at = reason, now
            self._logger.error(
                "the store is away; reads go on from memory", store=self._store, reason=reason
            )

    def store_returned(self, log: str, *, fresh: bool, why: str) -> None:
        """Changes can be written, for the first time or again; `fresh`: into a new log, and why."""
        if not self._exists():
            return  # whoever makes up names must not fill the log with them
        if fresh:
            self._logger.warning(
                "a new change log was begun; watches start over", log=log, reason=why
            )
        else:
            self._logger.info("the store is there", store=self._store, log=log)

    def rolled_back(self, found: str) -> None:
        """The store came back older while no hub was alive; `found` says how that shows."""
        self._logger.error(
            "the store came back older; a new change log is begun, and watches start over",
            found=found,
        )

    def takeover_refused(self, agent_id: str, times: int) -> None:
        """Programs take an id from each other: the one that holds it stays."""
        self._logger.warning(
            "several programs register one agent_id; the session that holds it stays",
            agent_id=agent_id,
            taken_over_within_a_minute=times,
        )

    def store_slow(self, seconds: float | None) -> None:
        """Changes take long, because Redis is far away or slow; or (None) that is over."""
        if seconds is None:
            self._logger.warning("the store answers fast again", store=self._store)
        else:
            self._logger.warning(
                "the store is slow; changes and heartbeats wait for it",
                store=self._store,
                seconds=round(seconds, 3),
            )

    def unreadable(self, data: bytes) -> None:
        """A stored entry is not a record; it is left unchanged."""
        self._logger.warning("a stored agent could not be read and is left alone", size=len(data))
        self._unreadable(data)

    def stalled(self, seconds: float) -> None:
        """The hub itself was stopped for a while; its agents get a fresh timeout."""
        self._logger.warning(
            "the hub was stalled; agents get a fresh timeout", seconds=round(seconds, 3)
        )

    def hubs_changed(self, hubs: list[str]) -> None:
        """Another hub of the cluster came or went."""
        self._logger.info("the hubs of the cluster have changed", hubs=hubs)
        if len(hubs) > 1 and self._lease_ttl < 2 * HUB_LEASE and not self._warned:
            self._warned = True
            self._logger.warning(
                "with several hubs, lease_ttl should be at least twice a hub's lease: the entries "
                "of a dead hub's agents may run out before another hub owns them",
                lease_ttl=self._lease_ttl,
                at_least=2 * HUB_LEASE,
            )

    def limited(self, setting: LimitName) -> None:
        """A limit was applied."""
        self._limits.applied(setting, namespace=self._namespace)

    def foreign_writes(self, warning: str) -> None:
        """A program that is no hub writes to the store; told once a minute at most."""
        now = time.monotonic()
        if now - self._foreign_at >= REPEAT_AFTER:
            self._foreign_at = now
            self._logger.warning(warning)

    def hubs_differ(self, sentences: list[str]) -> None:
        """Hubs have other times than this one, in every namespace: each is told once."""
        for sentence in sentences:
            if self._default and sentence not in self._differing:
                self._differing.add(sentence)
                self._logger.warning(sentence)

    def removal_held(self, why: str | None) -> None:
        """Many agents were lost at once, or (None) that is over."""
        if why is None:
            self._logger.warning("the loss is over; no removal is held any more")
        else:
            self._logger.error(
                "many agents were lost at once; these are not removed for now", why=why
            )
