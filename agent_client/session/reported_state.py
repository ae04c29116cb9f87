"""What an agent says of itself, remembered: what the hub acknowledged, and what it is still owed.

Metadata is kept within its bound here, so that what no hub can accept is an error at the call
that gave it, and never part of a registration.
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

log = logging.getLogger("homeport.client")


class AgentState:
    """The agent's own account of itself."""

    def __init__(self, spec: AgentSpec) -> None:
        _check_metadata(UNSET, spec.metadata)
        self._acknowledged = msgspec.structs.replace(
            spec,
            capabilities=unique(spec.capabilities),
            metadata=_merged(UNSET, spec.metadata),
        )
        self._owed = NO_CHANGES

    @property
    def owed(self) -> AgentChanges:
        """What a hub may not have heard, because its connection was lost before the answer."""
        return self._owed

    def current(self) -> AgentSpec:
        """All that is known, for a registration."""
        return _applied(self._acknowledged, self._owed)

    def check(self, changes: AgentChanges) -> None:
        """Raise TooLarge or BadRequest if `changes` would take the metadata out of its bounds."""
        _check_metadata(self.current().metadata, changes.metadata)

    def confirm(self, changes: AgentChanges) -> None:
        """The hub acknowledged `changes`."""
        self._acknowledged = _applied(self._acknowledged, changes)

    def owe(self, changes: AgentChanges) -> None:
        """Nobody knows whether the hub heard `changes`: it gets them with the next registration.

        Changes that passed `check` apart but are out of bounds together are not kept: they would
        keep the agent from ever coming back.
        """
        try:
            self.check(changes)
        except HomeportError as error:
            log.warning("a change that the hub did not acknowledge is given up: %s", error)
        else:
            self._owed = _combined(self._owed, changes)

    def settle(self, sent: AgentChanges) -> None:
        """The hub acknowledged `sent`, which was all that was owed when it was sent."""
        self.confirm(sent)
        if self._owed is sent:
            self._owed = NO_CHANGES

    def forget_owed(self) -> None:
        """The hub refused what was owed; without it, the agent can come back."""
        self._owed = NO_CHANGES


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
        # A null stays: it still has to delete its key at the hub.
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
