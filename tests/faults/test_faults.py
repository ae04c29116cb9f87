"""Each fault once, in a short form: the recorded histories pass the checkers.

The rounds are played in three clusters side by side, since most of a round is waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.faults import FAULTS
from tests.faults.rounds import Outcome, play
from tests.faults.sentinel import SentinelStore

APART = [name for name, plan in FAULTS.items() if plan.apart]
SENTINEL = [name for name, plan in FAULTS.items() if plan.store == "sentinel"]
PLAIN = [
    name
    for name, plan in FAULTS.items()
    if plan.store == "server" and not plan.apart and not plan.long
]

Played = dict[str, Future[list[Outcome]]]


class Lane:
    """Three hubs on one store, on which one round is played after the other.

    All in one thread, which lives as long as they do: what a thread starts ends with it.
    """

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self._thread = ThreadPoolExecutor(1)
        self._started = self._thread.submit(cluster.start)
        self._rounds: list[Future[list[Outcome]]] = []

    def play(self, names: list[str]) -> Future[list[Outcome]]:
        """Play these at the same time, after whatever has been asked for before."""
        self._rounds.append(self._thread.submit(self._play, names))
        return self._rounds[-1]

    def end(self) -> None:
        """Play no more; everything that runs is ended."""
        for each in self._rounds:
            each.cancel()
        self._thread.submit(self._cluster.end).result()
        self._thread.shutdown()

    def _play(self, names: list[str]) -> list[Outcome]:
        self._started.result()
        plans = [FAULTS[name] for name in names]
        if len(plans) == 1:
            return [play(self._cluster, plans[0], self._directory)]
        with ThreadPoolExecutor() as threads:  # none of these starts a hub
            rounds = [threads.submit(play, self._cluster, p, self._directory) for p in plans]
            return [each.result() for each in rounds]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """The outcomes of all rounds that are asked for."""
    stores = (None, None, SentinelStore())
    lanes = [
        Lane(Cluster(path, store), path)
        for store in stores
        for path in [tmp_path_factory.mktemp("cluster")]
    ]
    rounds: Played = {}
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function):
            names = item.callspec.params["names"]
            number = len(rounds) % 2 if names[0] in PLAIN else 2
            rounds[names[0]] = lanes[number].play(names)
    try:
        yield rounds
    finally:
        for lane in lanes:
            lane.end()


@pytest.mark.parametrize("names", [[name] for name in PLAIN], ids=PLAIN)
def test_a_cluster_lives_through(names: list[str], played: Played) -> None:
    assert_well(played, names)


# At the same time, each in its namespace: nothing is done to the cluster itself.
@pytest.mark.parametrize("names", [APART], ids=["agents"])
def test_a_cluster_lives_through_what_is_done_to(names: list[str], played: Played) -> None:
    assert_well(played, names)


@pytest.mark.parametrize("names", [[name] for name in SENTINEL], ids=SENTINEL)
def test_a_cluster_lives_through_a_failover(names: list[str], played: Played) -> None:
    assert_well(played, names)


def assert_well(played: Played, names: list[str]) -> None:
    outcomes = played[names[0]].result()
    assert [each.fault for each in outcomes] == names
    for outcome in outcomes:
        assert outcome.wrong == [], outcome.fault
        assert outcome.since_end is not None, outcome.fault
        assert outcome.acknowledged > 0, outcome.fault
