"""What agents were told is read with care, and costs nothing where all were told the same."""

from __future__ import annotations

import pytest

from actors.rules.told_times import ToldTimes, text_of
from actors.timing import Timing

OWN = Timing(resume_window=7.0)
QUICK = Timing(heartbeat_interval=2.0, heartbeat_timeout=10.0, lease_ttl=30.0)


def test_an_agent_of_which_nothing_is_known_was_told_this_hubs_times() -> None:
    assert ToldTimes(OWN).of("a1") is OWN


def test_what_another_hub_told_counts_and_all_else_is_this_hubs() -> None:
    told = ToldTimes(OWN)
    told.told("a1", text_of(QUICK))
    timing = told.of("a1")
    assert (timing.heartbeat_interval, timing.heartbeat_timeout) == (2.0, 10.0)
    assert (timing.lease_ttl, timing.resume_window) == (30.0, 7.0)
    told.forget("a1")
    assert told.of("a1") is OWN


def test_agents_that_were_told_the_same_share_it_and_those_told_its_own_take_no_memory() -> None:
    told = ToldTimes(OWN)
    for number in range(3):
        told.told(f"a{number}", text_of(QUICK))
        told.told(f"b{number}", text_of(OWN))
    assert told.of("a0") is told.of("a1") is told.of("a2")
    assert len(told) == 3


def test_what_is_loaded_is_by_id_or_else_what_is_usual() -> None:
    told = ToldTimes(OWN)
    told.load(["a1", "a2"], {"a2": text_of(OWN)}, text_of(QUICK))
    assert told.of("a1").heartbeat_timeout == 10.0
    assert told.of("a2") is OWN
    told.load(["a1"], {}, "")
    assert told.of("a1") is OWN


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "1 2", "1 2 3 4", "nan nan nan", "inf inf inf", "-1 2 3", "0 1 2"),
        *("2 2 2", "2 1 3", "1 3 2", "1 2 1e12", "\ufffd" * 100),
    ],
)
def test_what_no_hub_can_have_told_is_ignored(text: str) -> None:
    told = ToldTimes(OWN)
    told.told("a1", text)
    assert told.of("a1") is OWN


def test_fractions_survive_exactly() -> None:
    exact = Timing(heartbeat_interval=0.1, heartbeat_timeout=1 / 3, lease_ttl=1234567.1)
    told = ToldTimes(OWN)
    told.told("a1", text_of(exact))
    assert told.of("a1").heartbeat_timeout == 1 / 3
    assert told.of("a1").lease_ttl == 1234567.1


def test_many_different_texts_do_not_accumulate() -> None:
    told = ToldTimes(OWN)
    for number in range(1000):
        told.told("a1", f"1.0 {2 + number}.0 5000.0")
    assert told.of("a1").heartbeat_timeout == 1001.0
    assert len(told._known) <= 100
