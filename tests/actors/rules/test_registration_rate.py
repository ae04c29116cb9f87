"""How many registrations a principal may ask for."""

from __future__ import annotations

import pytest

from actors.rules.permissions import ANYBODY, Principal
from actors.rules.registration_rate import PRUNED_AT, RegistrationRate

A, B = (Principal(id=f"token:{each}", role="agent") for each in "ab")


def granted(rate: RegistrationRate, principal: Principal, now: float, asked: int) -> int:
    return sum(rate.wait(principal, now) == 0 for _ in range(asked))


def test_a_burst_passes_and_then_the_steady_rate() -> None:
    rate = RegistrationRate(rate=500, burst=10_000)
    assert granted(rate, A, 7.0, 20_000) == 10_000
    assert granted(rate, A, 8.0, 20_000) == 500
    assert granted(rate, A, 8.0, 20_000) == 0
    assert granted(rate, A, 8.0 + 60, 20_000) == 10_000, "no more is saved up than a burst"


def test_who_is_refused_is_told_when_one_passes() -> None:
    rate = RegistrationRate(rate=2, burst=1)
    assert rate.wait(A, 0.0) == 0
    assert rate.wait(A, 0.1) == pytest.approx(0.4)
    assert rate.wait(A, 0.4) == pytest.approx(0.1), "a refusal costs nothing"
    assert rate.wait(A, 0.5) == 0


def test_principals_do_not_take_from_each_other_and_nobody_has_no_limit() -> None:
    rate = RegistrationRate(rate=1, burst=1)
    assert granted(rate, A, 0.0, 5) == granted(rate, B, 0.0, 5) == 1
    assert granted(rate, ANYBODY, 0.0, 5) == 5
    assert granted(RegistrationRate(), A, 0.0, 5) == 5


def test_principals_that_have_been_quiet_are_forgotten() -> None:
    rate = RegistrationRate(rate=10, burst=10)
    for number in range(50 * PRUNED_AT):
        assert rate.wait(Principal(id=f"jwt:{number}", role="agent"), number / 100) == 0
        assert len(rate) <= PRUNED_AT + 1
