"""What the program reported about its agent: what a hub acknowledged, and what is pending.

Metadata is checked against its bound here, so that a value that no hub can accept fails the call
that gave it and never becomes part of a registration.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from agent_client.errors import HomeportError, from_protocol
from homeport_protocol.bounds import Metadata
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentChanges, AgentSpec, merge_metadata, unique

logger = logging.getLogger("homeport.client")


class ReportedState:
    """The agent's values as its program reported them.

    Pending are the changes that a hub may not have received, because the connection was lost
    before the answer. They go with the next registration.
    """

    def __init__(self, spec: AgentSpec) -> None:
        _check_metadata(UNSET, spec.metadata)
        self._acknowledged = msgspec.structs.replace(
            spec,
            capabilities=unique(spec.capabilities),
            metadata=_merged(UNSET, spec.metadata),
        )
        self._pending = NO_CHANGES

    @property
    def pending(self) -> AgentChanges:
        """The changes without a known outcome."""
        return self._pending

    def current(self) -> AgentSpec:
        """All values, pending changes included, for a registration."""
        return _applied(self._acknowledged, self._pending)

    def check(self, changes: AgentChanges) -> None:
        """Raise TooLarge or BadRequest if `changes` would take the metadata out of its bounds."""
        _check_metadata(self.current().metadata, changes.metadata)

    def acknowledge(self, changes: AgentChanges) -> None:
        """The hub acknowledged `changes`."""
        self._acknowledged = _applied(self._acknowledged, changes)

    def add_pending(self, changes: AgentChanges) -> None:
        """Keep `changes`, whose outcome is unknown, for the next registration.

        Changes that passed `check` one by one but are out of bounds together are dropped:
        otherwise no hub would ever accept the agent again.
        """
        try:
            self.check(changes)
        except HomeportError as error:
            logger.warning("a change that the hub did not acknowledge is given up: %s", error)
        else:
            self._pending = _combined(self._pending, changes)

    def acknowledge_pending(self, sent: AgentChanges) -> None:
        """The hub acknowledged `sent`, which was all that was pending when it was sent."""
        self.acknowledge(sent)
        if self._pending is sent:
            self._pending = NO_CHANGES

    def drop_pending(self) -> None:
        """The hub refused the pending changes: without them, the agent can come back."""
        self._pending = NO_CHANGES


def _applied(spec: AgentSpec, changes: AgentChanges) -> AgentSpec:
    new = _given(changes)
    if "metadata" in new:
        new["metadata"] = _merged(spec.metadata, changes.metadata)
    if "capabilities" in new:
        new["capabilities"] = unique(new["capabilities"])
    return msgspec.structs.replace(spec, **new)


def _combined(first: AgentChanges, then: AgentChanges) -> AgentChanges:
    new = _given(then)
    if "metadata" in new and first.metadata is not UNSET:
        # A null is kept: it has to delete its key at the hub.
        new["metadata"] = {**first.metadata, **new["metadata"]}
    return msgspec.structs.replace(first, **new)


def _given(changes: AgentChanges) -> dict[str, Any]:
    return {
        field: value
        for field in changes.__struct_fields__
        if (value := getattr(changes, field)) is not UNSET
    }


def _merged(old: Metadata | UnsetType, changes: Metadata | UnsetType) -> Metadata | UnsetType:
    merged = {**(old or {}), **(changes or {})}
    return {key: value for key, value in merged.items() if value is not None} or UNSET


def _check_metadata(old: Metadata | UnsetType, changes: Metadata | UnsetType) -> None:
    try:
        merge_metadata(old, changes)
    except ProtocolError as error:
        raise from_protocol(error) from None
