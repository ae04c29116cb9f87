"""Backoff: how the waits of one series of attempts grow."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest

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


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("hint", [1.0, 29.0, 30.0, 31.0, 3600.0, float("inf")])
def test_no_hint_keeps_a_client_away_for_longer_than_30_seconds(hint: float, chance: float) -> None:
    backoff = with_seams(Backoff, chance=lambda: chance)
    waits = [backoff.next(hint) for _ in range(20)]
    assert max(waits) <= 30.0
    assert min(waits) >= min(hint, 20.0)


def test_the_clients_whose_hints_were_cut_do_not_all_come_back_at_once() -> None:
    chance = random.Random(3).random
    waits = [with_seams(Backoff, chance=chance).next(3600.0) for _ in range(5000)]
    crowds = Counter(int(wait) for wait in waits)
    assert max(crowds.values()) < 700, "the crowd of a second"
