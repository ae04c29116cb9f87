"""How many agents a namespace takes, and how many bytes their records may have together.

All hubs fold the same log, so each knows what all of them have admitted but a moment ago; what this
hub itself has admitted and the log does not tell yet counts as well.
"""

from __future__ import annotations

from msgspec import UNSET

from actors.directory.directory import Directory
from actors.limits import LimitName, Limits
from actors.ports.observer import Observer
from homeport_protocol.codec import encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentRecord


class Capacity:
    """Refuses new agents, and records that grow, when the namespace is full.

    An agent that is there already may always register again, and say what is not larger.
    """

    def __init__(self, limits: Limits, directory: Directory, observer: Observer) -> None:
        self._limits = limits
        self._directory = directory
        self._observer = observer
        self._admitted: dict[str, int] = {}
        self._admitted_bytes = 0

    def admit(self, record: AgentRecord, size: int, before: AgentRecord | None) -> None:
        """Admit a registration whose record has `size` bytes; `before` is the agent's record now.

        Raises ProtocolError `rate_limited`.
        """
        agent_id = record.id
        if before is not None or agent_id in self._directory:
            entry = self._directory.get(agent_id)
            known = before or (None if entry is None else entry.record)
            assert known is not None
            self.check_growth(known, record)
            return
        self.settled(agent_id)
        if len(self._directory) + len(self._admitted) >= self._limits.max_agents:
            raise self._full("max_agents", f"{self._limits.max_agents:,} agents")
        if self._held + size > self._limits.max_agent_bytes:
            raise self._too_large()
        self._admitted[agent_id] = size
        self._admitted_bytes += size

    def settled(self, agent_id: str) -> None:
        """The registration is in the directory, or has failed."""
        self._admitted_bytes -= self._admitted.pop(agent_id, 0)

    def check_growth(self, before: AgentRecord, after: AgentRecord) -> None:
        """Raise ProtocolError `rate_limited` if the record grows and there is no room for it."""
        if self._held + _LARGEST <= self._limits.max_agent_bytes:
            return  # nearly always
        growth = _chosen_bytes(after) - _chosen_bytes(before)
        if growth > 0 and self._held + growth > self._limits.max_agent_bytes:
            raise self._too_large()

    @property
    def _held(self) -> int:
        return self._directory.bytes + self._admitted_bytes

    def _too_large(self) -> ProtocolError:
        return self._full("max_agent_bytes", f"{self._limits.max_agent_bytes:,} bytes of records")

    def _full(self, setting: LimitName, most: str) -> ProtocolError:
        self._observer.limited(setting)
        return ProtocolError(
            "rate_limited",
            f"the namespace is full: it takes {most} ({setting}); try again when agents have left, "
            "or raise the setting",
        )


_LARGEST = 1024 * 1024
"""More than any record has: with so much room nothing need be measured."""


def _chosen_bytes(record: AgentRecord) -> int:
    """Bytes of what the agent itself says: status and times may not decide whether it may speak."""
    metadata = b"" if record.metadata is UNSET else encode(record.metadata)
    words = (record.name, record.type, record.host, record.version, record.capabilities)
    return len(metadata) + len(encode(words))
