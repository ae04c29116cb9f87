"""The table of an agent's states, pair by pair, and every status derived from them."""

from __future__ import annotations

from itertools import product

import pytest

from actors.rules.states import (
    TRANSITIONS,
    DerivedStatus,
    State,
    StateChange,
    derive_status,
    transit,
)
from homeport_protocol.bounds import Reason, Status

C, P, L, U, G = State.CONNECTED, State.POLLING, State.LOST, State.UNREACHABLE, State.GONE
ATTACHED, POLLED, SOCKET_LOST = StateChange.ATTACHED, StateChange.POLLED, StateChange.SOCKET_LOST
OVERDUE, SILENT, LEASE_OVER = StateChange.OVERDUE, StateChange.SILENT, StateChange.LEASE_OVER
UNREGISTERED = StateChange.UNREGISTERED

# Rows: the state before. Columns: the change. A dash: cannot happen.
EXPECTED = {
    #    ATTACHED POLLED SOCKET_LOST OVERDUE SILENT LEASE_OVER UNREGISTERED
    C: [C, C, L, C, U, None, G],
    P: [C, P, None, None, U, None, G],
    L: [C, P, None, None, U, None, G],
    U: [C, P, None, None, None, G, G],
    G: [None, None, None, None, None, None, None],
}
COLUMNS = [ATTACHED, POLLED, SOCKET_LOST, OVERDUE, SILENT, LEASE_OVER, UNREGISTERED]


@pytest.mark.parametrize(("state", "change"), list(product(State, StateChange)), ids=str)
def test_every_pair_of_state_and_change(state: State, change: StateChange) -> None:
    expected = EXPECTED[state][COLUMNS.index(change)]
    if expected is None:
        assert (state, change) not in TRANSITIONS
        with pytest.raises(KeyError):
            transit(state, change)
    else:
        assert transit(state, change) is expected


def test_nothing_comes_back_from_gone() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is G]


def test_every_state_can_be_left_towards_gone() -> None:
    for state in (C, P, L, U):
        reachable = {state}
        for _ in State:
            reachable |= {
                after for (before, _), after in TRANSITIONS.items() if before in reachable
            }
        assert G in reachable


@pytest.mark.parametrize(
    ("state", "reported", "over_http", "overdue", "cause", "expected"),
    [
        (C, "healthy", False, False, "ok", ("websocket", "healthy", "ok")),
        (C, "degraded", False, False, "ok", ("websocket", "degraded", "self_reported")),
        (C, "unhealthy", False, False, "ok", ("websocket", "unhealthy", "self_reported")),
        (C, "healthy", False, True, "ok", ("websocket", "unhealthy", "heartbeat_overdue")),
        (C, "degraded", False, True, "ok", ("websocket", "unhealthy", "heartbeat_overdue")),
        (P, "healthy", True, False, "ok", ("http", "healthy", "ok")),
        (P, "unhealthy", True, False, "ok", ("http", "unhealthy", "self_reported")),
        (L, "healthy", False, False, "ok", ("lost", "healthy", "ok")),
        (L, "degraded", False, False, "ok", ("lost", "degraded", "self_reported")),
        (L, "healthy", False, True, "ok", ("lost", "unhealthy", "heartbeat_overdue")),
        (L, "healthy", False, False, "draining", ("lost", "healthy", "draining")),
        (L, "degraded", False, False, "draining", ("lost", "degraded", "draining")),
        (U, "healthy", False, False, "connection_lost", ("lost", "unreachable", "connection_lost")),
        (
            U,
            "degraded",
            False,
            True,
            "heartbeat_timeout",
            ("lost", "unreachable", "heartbeat_timeout"),
        ),
        (
            U,
            "healthy",
            True,
            False,
            "heartbeat_timeout",
            ("http", "unreachable", "heartbeat_timeout"),
        ),
        (
            G,
            "healthy",
            True,
            False,
            "heartbeat_timeout",
            ("http", "unreachable", "heartbeat_timeout"),
        ),
        (G, "healthy", False, False, "connection_lost", ("lost", "unreachable", "connection_lost")),
    ],
)
def test_every_derived_status(
    *,
    state: State,
    reported: Status,
    over_http: bool,
    overdue: bool,
    cause: Reason,
    expected: tuple[str, str, str],
) -> None:
    found = derive_status(state, reported, over_http=over_http, overdue=overdue, cause=cause)
    assert found == DerivedStatus(*expected)  # type: ignore[arg-type]
