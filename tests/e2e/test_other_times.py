"""Two hubs of one cluster with different times judge each agent by what it was told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from actors.timing import HUB_LEASE
from tests.support.hub_process import Hub, Place, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import wait_until

QUICK = ("--heartbeat-interval", "0.4", "--heartbeat-timeout", "1", "--lease-ttl", "2")
SLOW = ("--heartbeat-interval", "2", "--heartbeat-timeout", "6", "--lease-ttl", "20")
TOLD = 6.0
"""What agents of the slow hub were told as their timeout."""

CLOCK = 0.01
LATE = 4.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running(RedisServer(keeps=True)) as server:
        yield server


@pytest.fixture
def hubs(
    tmp_path_factory: pytest.TempPathFactory, server: RedisServer
) -> Iterator[tuple[Hub, Hub]]:
    """The quick one leads, since its id is the lower one: it judges all agents over HTTP."""
    with (
        running_hub(
            tmp_path_factory.mktemp("a"), "--redis", server.url, "--hub-id", "a", *QUICK
        ) as quick,
        running_hub(
            tmp_path_factory.mktemp("b"), "--redis", server.url, "--hub-id", "b", *SLOW
        ) as slow,
    ):
        yield quick, slow


def status(place: Place, agent_id: str) -> str:
    record = place.record(agent_id)
    return "gone" if record is None else str(record["status"])


def unreachable_after(place: Place, agent_id: str, began: float) -> float:
    within = TOLD + LATE + HUB_LEASE  # a hub that was killed may have to be missed first
    wait_until(lambda: status(place, agent_id) == "unreachable", within)
    return time.monotonic() - began


def test_no_agent_is_judged_early_and_a_survivor_goes_by_what_was_told(
    hubs: tuple[Hub, Hub], enter: Callable[..., Place]
) -> None:
    quick, slow = (enter(hub, "made-up") for hub in hubs)
    began = time.monotonic()
    agent_id = slow.register()
    told = quick.post(f"/agents/{agent_id}/heartbeat", json={}).json()
    assert told["next_interval_seconds"] == 2, "not the other hub's 0.4"
    assert TOLD - CLOCK <= unreachable_after(quick, agent_id, began) < TOLD + LATE

    orphan = slow.register(name="orphan")
    wait_until(lambda: status(quick, orphan) == "healthy", LATE)
    began = time.monotonic()
    assert quick.post(f"/agents/{orphan}/heartbeat", json={}).status_code == 200
    hubs[1].kill()
    assert TOLD - CLOCK <= unreachable_after(quick, orphan, began) < TOLD + LATE


def test_a_hub_that_restarts_with_other_times_goes_by_what_was_told(
    hubs: tuple[Hub, Hub],
    enter: Callable[..., Place],
    tmp_path_factory: pytest.TempPathFactory,
    server: RedisServer,
) -> None:
    agent_id = enter(hubs[1], "made-up").register()
    for hub in hubs:
        hub.kill()
    options = ("--redis", server.url, "--hub-id", "c", *QUICK)
    began = time.monotonic()
    with running_hub(tmp_path_factory.mktemp("c"), *options) as again:
        place = enter(again, "made-up")
        assert unreachable_after(place, agent_id, began) >= TOLD - CLOCK


def test_both_hubs_warn_of_each_other(hubs: tuple[Hub, Hub], enter: Callable[..., Place]) -> None:
    for hub, sentence in (
        (hubs[0], "hub b has other times than a: heartbeat_interval 2, here 0.4"),
        (hubs[1], "hub a has other times than b: heartbeat_interval 0.4, here 2"),
    ):
        place = enter(hub)

        def warned(place: Place = place, sentence: str = sentence) -> bool:
            ready = place.get("/ready")
            assert ready.status_code == 200
            warnings = ready.json().get("warnings", [])
            return any(each.startswith(sentence) for each in warnings)

        wait_until(warned, LATE)
        assert hub.log().count(sentence) == 1
