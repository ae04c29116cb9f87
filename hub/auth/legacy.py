"""Callers of the legacy service that have no token yet, taken until a date.

They act for nobody: what they register belongs to nobody, so that the same program goes on with it
once it has a token, and they change nothing that belongs to somebody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from actors.ports.conditions import Caution
from actors.rules.permissions import NOBODY, Principal
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from hub.auth.evidence import Evidence


class LegacyCallers:
    """A recogniser: of requests on the routes of the legacy service that show nothing.

    `until` is what the setting says; None takes nobody.
    """

    def __init__(self, until: str | None, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._until = 0.0
        self._date = ""
        self._principal = _principal(0.0)
        self._taken = 0
        self.replace(until)

    def replace(self, until: str | None) -> None:
        """Take them until another date from now on."""
        self._date = until or ""
        self._until = 0.0 if until is None else unix_of(until)
        self._principal = _principal(self._until)

    @property
    def are_taken(self) -> bool:
        """Whether such callers are taken now."""
        return self._wall() < self._until

    def claims(self, evidence: Evidence) -> bool:
        """Whether the request is one of theirs."""
        return evidence.legacy and self.are_taken

    def recognise(self, evidence: Evidence) -> Principal | None:
        """Their principal, which is nobody."""
        self._taken += 1
        return self._principal

    async def look_up(self, evidence: Evidence) -> Principal:
        """The same; `recognise` always tells."""
        return self._principal

    def ended(self, principal: Principal) -> str | None:
        """None: they have no websockets."""
        return None

    def warnings(self) -> list[Caution]:
        """How many came, for `/ready`."""
        if not self.are_taken:
            return []
        return [
            Caution(
                "legacy_callers",
                f"{self._taken:,} requests without a token were taken since the hub started, and "
                f"such requests are until {self._date} (legacy_until)",
            )
        ]


def unix_of(date: str) -> float:
    """The Unix time at which it begins; a day does at midnight, UTC. Raises ValueError."""
    moment = datetime.fromisoformat(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _principal(until: float) -> Principal:
    return Principal(id=NOBODY, role="agent", namespace=DEFAULT_NAMESPACE, not_after=until)
