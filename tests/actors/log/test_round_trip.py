"""How far away the store is, and that the hub's own absence is not charged to it."""

from __future__ import annotations

from actors.log.round_trip import RoundTrip
from actors.timing import CHANGE_TIMEOUT, MAX_CHANGE_TIMEOUT


def told(*seconds: float) -> RoundTrip:
    round_trip = RoundTrip()
    for each in seconds:
        round_trip.took(each)
    return round_trip


def test_a_near_store_leaves_the_time_of_changes_alone() -> None:
    near = told(*[0.001] * 50)
    assert near.change_timeout == CHANGE_TIMEOUT
    assert not near.slow


def test_a_far_store_gets_more_time_up_to_the_bound() -> None:
    assert told(*[1.0] * 50).change_timeout == 3.0
    farthest = told(*[60.0] * 50)
    assert farthest.change_timeout == MAX_CHANGE_TIMEOUT
    assert farthest.slow


def test_an_answer_that_waited_for_a_stalled_hub_does_not_make_the_store_slow() -> None:
    stalled = told(*[0.001] * 20, 150.0)
    assert not stalled.slow
    assert stalled.change_timeout == CHANGE_TIMEOUT


def test_changes_keep_their_time_after_several_stalls_in_a_row() -> None:
    assert told(*[0.001] * 20, 50.0, 100.0, 150.0).change_timeout == CHANGE_TIMEOUT
