"""Each fault once, in a short form: what the checkers of recorded histories demand, holds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .cluster import Cluster
from .faults import FAULTS
from .rounds import Outcome, play
from .sentinel import SentinelStore

APART = [name for name, plan in FAULTS.items() if plan.apart]
SENTINEL = [name for name, plan in FAULTS.items() if plan.store == "sentinel"]
PLAIN = [
    name
    for name, plan in FAULTS.items()
    if plan.store == "server" and not plan.apart and not plan.long
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hubs on one server."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def failing_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hubs on a primary with a replica, under Sentinel."""
    cluster = Cluster(tmp_path_factory.mktemp("sentinel"), SentinelStore())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.mark.parametrize("name", PLAIN)
def test_a_cluster_lives_through(name: str, cluster: Cluster, tmp_path: Path) -> None:
    assert_well(play(cluster, FAULTS[name], tmp_path))


def test_a_cluster_lives_through_what_is_done_to_agents(cluster: Cluster, tmp_path: Path) -> None:
    # At the same time, each in a namespace of its own: the cluster itself is left alone.
    with ThreadPoolExecutor() as threads:
        rounds = [threads.submit(play, cluster, FAULTS[name], tmp_path) for name in APART]
        outcomes = [each.result() for each in rounds]
    for outcome in outcomes:
        assert_well(outcome)


@pytest.mark.parametrize("name", SENTINEL)
def test_a_cluster_lives_through_a_failover(
    name: str, failing_over: Cluster, tmp_path: Path
) -> None:
    assert_well(play(failing_over, FAULTS[name], tmp_path))


def assert_well(outcome: Outcome) -> None:
    assert outcome.wrong == [], outcome.fault
    assert outcome.since_end is not None, outcome.fault
    assert outcome.acknowledged > 0, outcome.fault
