"""The principals that agents belong to (`actors.rules.permissions`), as this hub knows them.

An agent belongs to the principal that registered it. That is stored beside the record, and told to
other hubs in the log; readers of the directory never see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern

from actors.rules.permissions import NOBODY


class Owners:
    """The ids of the principals, by the ids of their agents; most fleets have few principals."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def of(self, agent_id: str) -> str:
        """The principal that the agent belongs to; `NOBODY` also when there is no such agent."""
        return self._owners.get(agent_id, NOBODY)

    def set(self, agent_id: str, owner: str) -> None:
        """The agent belongs to that principal from now on."""
        if owner == NOBODY:
            self._owners.pop(agent_id, None)
        else:
            self._owners[agent_id] = intern(owner)

    def load(self, agent_ids: Iterable[str], owners: Mapping[str, str]) -> None:
        """Take what is stored of these agents; one that is not among `owners` is nobody's."""
        for agent_id in agent_ids:
            self.set(agent_id, owners.get(agent_id, NOBODY))

    def forget(self, agent_id: str) -> None:
        """The agent is gone."""
        self._owners.pop(agent_id, None)

    def __len__(self) -> int:
        return len(self._owners)
