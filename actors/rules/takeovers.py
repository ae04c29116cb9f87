"""Programs that take an id from each other: who is refused, and for how long.

A registration under an id whose session lives takes the id over. That is right for a program that
was started anew, and goes on for ever when two programs have the same id and are started again
whenever they end. So from the third time within a minute on, the newcomer is refused, and the
session that holds the id stays. Each further attempt is to wait for longer, until there was none
for some minutes.

Each hub counts what happens at it. So programs at different hubs come to rest as well, after as
many takeovers at each.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

WINDOW = 60.0
"""Seconds in which takeovers are counted, and in which a fight is reported once."""

TAKEOVERS = 2
"""Takeovers within `WINDOW` that are granted."""

FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0
"""Seconds that the first attempt is to wait that was refused, and any other at most."""

QUIET = 600.0
"""Seconds without an attempt after which a fight is over: supervisors wait for minutes, too."""

MOST_IDS = 10_000
"""Ids that are counted; beyond that the one is forgotten that was quiet for longest."""


class TakeoverRefusal(Struct, frozen=True, gc=False):
    """The id was taken over `times` within a minute: try again after `wait` seconds.

    `new` for the first refusal within a minute, which is worth a line in the log.
    """

    times: int
    wait: float
    new: bool


class _Fight(Struct, gc=False):
    taken_at: Sequence[float] = ()
    """The newest takeovers, no more than are granted."""
    tried_at: float = 0.0
    refusals: int = 0
    reported_at: float = -WINDOW


class Takeovers:
    """The takeovers at one hub, by the agents' ids; `now` is on any one scale of seconds."""

    def __init__(self) -> None:
        self._fights: dict[str, _Fight] = {}  # the one that was quiet for longest comes first

    def __len__(self) -> int:
        return len(self._fights)

    def refuse(self, agent_id: str, now: float) -> TakeoverRefusal | None:
        """Why the id may not be taken over now; None when it may."""
        fight = self._fights.get(agent_id)
        if fight is None:
            return None
        if fight.refusals == 0 or now - fight.tried_at >= QUIET:
            fight.refusals = 0
            if len(fight.taken_at) < TAKEOVERS or now - fight.taken_at[0] >= WINDOW:
                return None
        self._touch(agent_id, fight, now)
        fight.refusals += 1
        wait = min(FIRST_WAIT * 2.0 ** min(fight.refusals - 1, 16), LONGEST_WAIT)
        new = now - fight.reported_at >= WINDOW
        if new:
            fight.reported_at = now
        return TakeoverRefusal(len(fight.taken_at), wait, new)

    def taken_over(self, agent_id: str, now: float) -> None:
        """A registration took the id from a session that lived."""
        fight = self._fights.get(agent_id) or _Fight()
        fight.taken_at = (*fight.taken_at, now)[-TAKEOVERS:]
        self._touch(agent_id, fight, now)

    def _touch(self, agent_id: str, fight: _Fight, now: float) -> None:
        fight.tried_at = now
        self._fights.pop(agent_id, None)
        self._fights[agent_id] = fight
        while len(self._fights) > MOST_IDS or self._oldest().tried_at <= now - QUIET:
            del self._fights[next(iter(self._fights))]

    def _oldest(self) -> _Fight:
        return next(iter(self._fights.values()))
