"""Backoff: how the waits of one series of attempts grow."""

from __future__ import annotations

from functools import partial

from agent_client import Backoff
from tests.agent_client.conftest import with_seams


def test_back_off_is_full_jitter_below_a_doubling_bound() -> None:
    for chance in (0.0, 0.25, 0.999):
        backoff = with_seams(Backoff, base=1.0, cap=8.0, chance=partial(float, chance))
        assert [backoff.next() for _ in range(5)] == [b * chance for b in (1, 2, 4, 8, 8)]
        assert backoff.next(hint=5.0) == 5.0 + 8 * chance
        backoff.reset()
        assert backoff.next() == chance
    patient = with_seams(Backoff, chance=lambda: 1.0)
    assert [patient.next() for _ in range(5000)][-1] == 30.0
