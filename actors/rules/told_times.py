"""The times that agents were told, by which they are judged at every hub.

A hub tells an agent its times when it registers or resumes. They are stored beside the records, so
that any hub of the cluster can judge the agent by them, also after a restart with other settings.
What is told in a heartbeat's answer is the same interval again, and never another hub's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import structs

from actors.timing import Timing

MAX_DIFFERENT = 100
"""Different times that are kept in memory; when there are more, they are read again."""

_LONGEST = 365 * 24 * 3600.0


def text_of(timing: Timing) -> str:
    """The times that an agent is told, as they are stored: interval, timeout and lease."""
    return f"{timing.heartbeat_interval!r} {timing.heartbeat_timeout!r} {timing.lease_ttl!r}"


class ToldTimes:
    """What agents were told at other hubs, or before a restart. `own` are this hub's times.

    An agent of which nothing is known was told `own`. All else in a Timing is this hub's own.
    """

    def __init__(self, own: Timing) -> None:
        self.own = own
        self.own_text = text_of(own)
        self._told: dict[str, Timing] = {}
        self._known: dict[str, Timing] = {}

    def of(self, agent_id: str) -> Timing:
        """The times by which the agent is judged."""
        return self._told.get(agent_id, self.own)

    def told(self, agent_id: str, text: str) -> None:
        """The agent was told the times of that stored text; "" and what no hub wrote are `own`."""
        timing = self._read(text)
        if timing is self.own:
            self._told.pop(agent_id, None)
        else:
            self._told[agent_id] = timing

    def load(self, agent_ids: Iterable[str], times: Mapping[str, str], usual: str) -> None:
        """Take the stored texts of these agents; one that has none was told the `usual`."""
        for agent_id in agent_ids:
            self.told(agent_id, times.get(agent_id, usual))

    def forget(self, agent_id: str) -> None:
        """The agent is gone, or was told `own`."""
        self._told.pop(agent_id, None)

    def __len__(self) -> int:
        return len(self._told)

    def _read(self, text: str) -> Timing:
        timing = self._known.get(text)
        if timing is None:
            if len(self._known) >= MAX_DIFFERENT:
                self._known.clear()
            timing = self._known[text] = self._parse(text)
        return timing

    def _parse(self, text: str) -> Timing:
        if text in ("", self.own_text):
            return self.own
        try:
            interval, timeout, ttl = map(float, text.split())
            if not 0.0 < interval < timeout <= ttl <= _LONGEST:
                return self.own
            return structs.replace(
                self.own, heartbeat_interval=interval, heartbeat_timeout=timeout, lease_ttl=ttl
            )
        except ValueError:
            return self.own
