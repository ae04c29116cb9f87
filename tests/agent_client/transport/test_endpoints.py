"""Which hub is next, how long it has, and how long to wait: the rules alone, without sockets."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from agent_client import Backoff, CannotConnect, ConnectionLost, Timeout, Unavailable
from agent_client.errors import closed
from agent_client.transport.backoff import BREAK_BOUND, STEADY
from agent_client.transport.endpoints import ATTEMPT_TIMEOUT, Endpoints
from tests.agent_client.conftest import with_seams

URLS = ["ws://a/ws", "ws://b/ws", "ws://c/ws"]
A, B, C = URLS


def in_order(*urls: str) -> Endpoints:
    return Endpoints(urls, shuffle=False)


def half() -> Backoff:
    return with_seams(Backoff, base=0.5, chance=lambda: 0.5)


# --- the order -----------------------------------------------------------------------------------


def test_a_fleet_spreads_over_the_hubs_and_over_what_is_tried_after_them() -> None:
    chance = random.Random(7).random
    orders = Counter(
        tuple(with_seams(Endpoints, URLS, chance=chance).in_turn()) for _ in range(6000)
    )
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values()), orders


def test_the_order_is_kept_when_the_user_says_so() -> None:
    assert in_order(*URLS).in_turn() == URLS


def test_the_last_good_hub_comes_first_and_one_that_failed_last() -> None:
    endpoints = in_order(*URLS)
    endpoints.prefer(B)
    assert endpoints.in_turn() == [B, A, C]
    endpoints.defer(B)
    assert endpoints.in_turn() == [A, C, B]
    endpoints.prefer(C)
    assert endpoints.in_turn() == [C, A, B]


def test_after_a_round_in_which_all_failed_the_order_is_what_it_was() -> None:
    endpoints = in_order(*URLS)
    for url in endpoints.in_turn():
        endpoints.defer(url)
    assert endpoints.in_turn() == URLS


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
def test_a_hub_that_goes_away_or_failed_comes_last(code: int) -> None:
    endpoints = in_order(*URLS)
    endpoints.wait_after_loss(A, closed(code, "bye"), half(), lived=0.0)
    assert endpoints.in_turn() == [B, C, A]


@pytest.mark.parametrize("code", [1000, 1006, 4400, 4408, 4413, 4429, None])
def test_other_ends_are_no_reason_to_leave_a_hub(code: int | None) -> None:
    endpoints = in_order(*URLS)
    endpoints.wait_after_loss(A, closed(code, "bye"), half(), lived=0.0)
    assert endpoints.in_turn() == URLS


# --- timeouts ------------------------------------------------------------------------------------


def test_one_of_several_hubs_has_seconds_to_answer_and_more_after_failed_rounds() -> None:
    endpoints = in_order(A, B)
    assert endpoints.attempt_timeout(10.0) == ATTEMPT_TIMEOUT == 3.0
    endpoints.wait_after_round([CannotConnect("no"), CannotConnect("no")], half())
    assert endpoints.attempt_timeout(10.0) == 6.0
    for _ in range(2000):
        endpoints.round_failed()
    assert endpoints.attempt_timeout(10.0) == 10.0
    endpoints.prefer(A)
    assert endpoints.attempt_timeout(10.0) == 3.0
    assert endpoints.attempt_timeout(1.0) == 1.0


def test_one_hub_alone_has_all_the_time_of_a_request() -> None:
    assert in_order(A).attempt_timeout(10.0) == 10.0


# --- waits ---------------------------------------------------------------------------------------


def test_one_hub_alone_is_waited_for_as_it_asks() -> None:
    endpoints = in_order(A)
    assert (
        endpoints.wait_after_loss(A, closed(1001, "retry in 8 s"), half(), lived=0.0) == 8.0 + 0.25
    )
    assert endpoints.wait_after_loss(A, ConnectionLost("it broke"), half(), lived=0.0) == 0.25
    assert endpoints.wait_after_round([CannotConnect("no")], half()) == 0.25


def test_a_stopping_hub_s_hint_is_a_spread_for_going_to_the_others() -> None:
    assert in_order(A, B).wait_after_loss(A, closed(1001, "retry in 8 s"), half(), lived=0.0) == 4.0


def test_the_clients_of_a_lost_hub_spread_over_two_seconds_at_least() -> None:
    endpoints, backoff = in_order(A, B), half()
    lost = ConnectionLost("it broke")
    waits = [endpoints.wait_after_loss(A, lost, backoff, lived=0.0) for _ in range(3)]
    assert waits == [1.0, 1.0, 1.0]
    assert in_order(A, B).wait_after_loss(A, closed(1011, ""), half(), lived=0.0) == 1.0


def test_a_break_after_a_connection_that_lasted_is_waited_for_within_two_seconds() -> None:
    for urls in ([A], [A, B]):
        endpoints, backoff = in_order(*urls), with_seams(Backoff, base=4.0, chance=lambda: 1.0)
        for end in (closed(None, ""), closed(4408, "lease lost"), closed(1000, "")):
            for _ in range(20):
                endpoints.wait_after_round([CannotConnect("no")], backoff)
            assert endpoints.wait_after_loss(A, end, backoff, lived=STEADY) == BREAK_BOUND == 2.0
            assert endpoints.wait_after_round([CannotConnect("no")], backoff) == 4.0


def test_breaks_of_young_connections_and_in_handshakes_are_waited_for_within_two_seconds() -> None:
    endpoints, backoff = in_order(A), with_seams(Backoff, chance=lambda: 1.0)
    broke, refused = CannotConnect("no", broken=True), CannotConnect("no")
    waits = [
        endpoints.wait_after_loss(A, closed(None, ""), backoff, lived=0.9),
        endpoints.wait_after_round([broke], backoff),
        endpoints.wait_after_round([ConnectionLost("within the registration")], backoff),
        endpoints.wait_after_round([broke], backoff),
        endpoints.wait_after_loss(A, closed(None, ""), backoff, lived=0.9),
        endpoints.wait_after_loss(A, closed(None, ""), backoff, lived=1.0),
    ]
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0, 0.5]
    assert endpoints.wait_after_round([refused], backoff) == 0.5, "no refusal was counted"
    assert in_order(A, B).wait_after_round([refused, broke], backoff.again()) == 2.0


def test_breaks_without_end_are_refusals() -> None:
    """A proxy with nothing behind it accepts every connection, and breaks it."""
    endpoints, backoff = in_order(A), with_seams(Backoff, chance=lambda: 1.0)
    broke = CannotConnect("no", broken=True)
    waits = [endpoints.wait_after_round([broke], backoff) for _ in range(18)]
    assert waits == [0.5, 1.0, *[2.0] * 8, *[2.0] * 3, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_hub_that_ends_young_connections_with_a_code_refuses() -> None:
    endpoints, backoff = in_order(A), with_seams(Backoff, chance=lambda: 1.0)
    end = closed(4429, "too fast")
    waits = [endpoints.wait_after_loss(A, end, backoff, lived=0.1) for _ in range(8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_failed_round_is_followed_by_the_wait_of_the_hub_that_is_ready_first() -> None:
    failures = [
        Unavailable("starts", retry_after=5.0),
        Unavailable("its Redis is away", retry_after=2.0),
    ]
    assert in_order(A, B).wait_after_round(failures, half()) == 2.0 + 1.0
    assert in_order(A, B).wait_after_round([*failures, CannotConnect("no")], half()) == 1.0


@pytest.mark.parametrize(("rate", "bound"), [(2000, 3.0), (1000, 9.0)])
def test_the_agents_of_a_killed_hub_are_all_at_the_other_long_before_their_lease_is_over(
    rate: int, bound: float
) -> None:
    """5,000 agents, and a hub that registers `rate` a second, one after the other.

    The hub also works off the requests of those who have given up meanwhile.
    """
    chance = random.Random(5).random
    agents = [(in_order(A, B), with_seams(Backoff, chance=chance)) for _ in range(5000)]
    lost = ConnectionLost("it broke")
    arrivals = [
        (endpoints.wait_after_loss(A, lost, backoff, lived=0.0), number)
        for number, (endpoints, backoff) in enumerate(agents)
    ]
    heapq.heapify(arrivals)
    crowds: Counter[int] = Counter()
    back: list[float] = []
    free = 0.0
    while arrivals:
        now, number = heapq.heappop(arrivals)
        endpoints, backoff = agents[number]
        crowds[int(now / 0.1)] += 1
        endpoints.defer(A)  # it refuses at once
        timeout = endpoints.attempt_timeout(10.0)
        free = max(free, now) + 1 / rate
        if free <= now + timeout:
            back.append(free)
            continue
        endpoints.defer(B)
        wait = endpoints.wait_after_round([CannotConnect("no"), Timeout("late")], backoff)
        heapq.heappush(arrivals, (now + timeout + wait, number))
    assert len(back) == 5000
    assert max(back) < bound
    assert max(crowds.values()) < 400, "the crowd of a tenth of a second"


def test_the_agents_of_a_stopping_hub_come_to_the_other_no_faster_than_it_can_take_them() -> None:
    dice = random.Random(5)
    crowds: Counter[int] = Counter()
    for _ in range(5000):
        hint = dice.uniform(0.1, 0.5 + 5000 / 500)  # as a hub spreads them
        error = closed(1001, f"hub going away, retry in {hint:.1f} s")
        wait = in_order(A, B).wait_after_loss(
            A, error, with_seams(Backoff, chance=dice.random), lived=0.0
        )
        assert wait <= hint + 0.05
        crowds[int(wait)] += 1
    assert max(crowds.values()) < 2000, "the crowd of a second"
