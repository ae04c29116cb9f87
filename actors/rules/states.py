"""Every transition of an agent, as a table.

An agent this hub owns is in one of four states, and leaves through `GONE`:

- CONNECTED: a session of this hub holds its websocket.
- POLLING: it came over HTTP; only its heartbeats say that it lives.
- LOST: its websocket went away without `unregister`; it may resume.
- UNREACHABLE: nothing came from it in time; discovery says so until its lease is over.
- GONE: unregistered or expired; nothing is left of it.

The record's status is never set: `derive_status` makes it from state and facts, so that what
discovery says and why it says so cannot disagree.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from msgspec import Struct

from homeport_protocol.bounds import Connection, Reason, Status


class State(Enum):
    """The state of an agent."""

    CONNECTED = auto()
    POLLING = auto()
    LOST = auto()
    UNREACHABLE = auto()
    GONE = auto()


class StateChange(Enum):
    """What can happen to an agent."""

    ATTACHED = auto()
    """A websocket session registered or resumed it."""
    POLLED = auto()
    """It registered, or sent a heartbeat, over HTTP."""
    SOCKET_LOST = auto()
    """Its websocket went away, or its hub drains."""
    OVERDUE = auto()
    """Its pongs come, its messages do not."""
    SILENT = auto()
    """Nothing came from it in time, or it did not resume in time."""
    LEASE_OVER = auto()
    """It has been unreachable for `lease_ttl`."""
    UNREGISTERED = auto()
    """It said goodbye."""


TRANSITIONS: dict[tuple[State, StateChange], State] = {
    (State.CONNECTED, StateChange.ATTACHED): State.CONNECTED,
    (State.CONNECTED, StateChange.POLLED): State.CONNECTED,
    (State.CONNECTED, StateChange.SOCKET_LOST): State.LOST,
    (State.CONNECTED, StateChange.OVERDUE): State.CONNECTED,
    (State.CONNECTED, StateChange.SILENT): State.UNREACHABLE,
    (State.CONNECTED, StateChange.UNREGISTERED): State.GONE,
    (State.POLLING, StateChange.ATTACHED): State.CONNECTED,
    (State.POLLING, StateChange.POLLED): State.POLLING,
    (State.POLLING, StateChange.SILENT): State.UNREACHABLE,
    (State.POLLING, StateChange.UNREGISTERED): State.GONE,
    (State.LOST, StateChange.ATTACHED): State.CONNECTED,
    (State.LOST, StateChange.POLLED): State.POLLING,
    (State.LOST, StateChange.SILENT): State.UNREACHABLE,
    (State.LOST, StateChange.UNREGISTERED): State.GONE,
    (State.UNREACHABLE, StateChange.ATTACHED): State.CONNECTED,
    (State.UNREACHABLE, StateChange.POLLED): State.POLLING,
    (State.UNREACHABLE, StateChange.LEASE_OVER): State.GONE,
    (State.UNREACHABLE, StateChange.UNREGISTERED): State.GONE,
}
"""A pair that is not listed cannot happen: `transit` raises KeyError, and the actor restarts."""


def transit(state: State, change: StateChange) -> State:
    """The state after `change`."""
    return TRANSITIONS[state, change]


class DerivedStatus(Struct, frozen=True, gc=False):
    """What the record says of an agent: its connection, its status, and why."""

    connection: Connection
    status: Status
    reason: Reason


def derive_status(
    state: State, reported: Status, *, over_http: bool, overdue: bool, cause: Reason
) -> DerivedStatus:
    """Derive what the record says from the facts.

    `over_http`: its last message came over HTTP. `overdue`: its program hung while its socket
    lived. `cause`: why it is UNREACHABLE, or `draining` when a stopping hub let go of it.
    """
    says: Reason = "ok" if reported == "healthy" else "self_reported"
    match state:
        case State.CONNECTED if overdue:
            return DerivedStatus("websocket", "unhealthy", "heartbeat_overdue")
        case State.CONNECTED:
            return DerivedStatus("websocket", reported, says)
        case State.POLLING:
            return DerivedStatus("http", reported, says)
        case State.LOST if overdue:
            return DerivedStatus("lost", "unhealthy", "heartbeat_overdue")
        case State.LOST:
            return DerivedStatus("lost", reported, "draining" if cause == "draining" else says)
        case State.UNREACHABLE | State.GONE:
            return DerivedStatus("http" if over_http else "lost", "unreachable", cause)
        case _:
            assert_never(state)
