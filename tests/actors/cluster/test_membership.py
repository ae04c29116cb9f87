"""Which hubs live, which agents each of them owns, and what holds after the store was away."""

from __future__ import annotations

from actors.cluster.membership import Membership
from actors.ports.store import (
    Away,
    Fenced,
    ForeignRenewal,
    ForeignRenewals,
    HubLease,
    HubReport,
    Roster,
)
from actors.timing import HUB_LEASE
from tests.support.clock import VirtualClock
from tests.support.cluster_world import Cluster, told
from tests.support.records import record


class Stub:
    """A store that answers when the test says so, and the cluster that is told."""

    def __init__(self, *hubs: str) -> None:
        self.scheduler = VirtualClock()
        self.took: list[float] = []
        self.members = Membership(
            self.scheduler,
            self,  # type: ignore[arg-type]
            "b",
            report=lambda: None if self.away else HubReport(1, 2, 3),
            heard=self._heard,
            failed=self._heard,
            changed=self._changed,
            renewed=self._renewed,
            answered_in=self.took.append,
        )
        self.reports: list[HubReport] = []
        self.replies: list[object] = []
        self.positions: list[str] = []
        self.readers: list[object] = []
        self.heard: list[object] = []
        self.changes = 0
        self.away = False
        self.members.start(roster(*hubs))

    def renew_lease(self, report: HubReport, reply: object) -> None:
        self.reports.append(report)
        self.replies.append(reply)

    def read_renewals(self, position: str, reply: object) -> None:
        self.positions.append(position)
        self.readers.append(reply)

    def _heard(self, answer: object) -> None:
        self.heard.append(answer)

    def _changed(self) -> None:
        self.changes += 1

    def _renewed(self, renewals: list[ForeignRenewal]) -> None:
        self.heard += renewals

    def answer(self, answer: object) -> None:
        self.replies.pop(0)(answer)  # type: ignore[operator]

    def owned(self) -> list[str]:
        """The hubs whose agents this one owns; "" stands for agents that came over HTTP."""
        return [hub for hub in ("", "a", "b", "c") if self.members.owns(record(hub=hub))]


def roster(*hubs: str) -> Roster:
    leases = [
        HubLease(hub_id=hub, url="", version="", started="", agents=0, sessions=0, revision=0)
        for hub in hubs
    ]
    return Roster(leases, 0, 0)


# --- who owns an agent ---------------------------------------------------------------------------


def test_a_hub_alone_owns_every_agent() -> None:
    stub = Stub("b")
    assert stub.owned() == ["", "a", "b", "c"]
    assert stub.members.alone


def test_the_living_hub_with_the_lowest_id_owns_agents_without_a_living_hub() -> None:
    assert Stub("b", "c").owned() == ["", "a", "b"]
    assert Stub("a", "b").owned() == ["b"]
    assert Stub("a", "b", "c").owned() == ["b"]
    assert not Stub("a", "b").members.alone


def test_a_hub_counts_itself_although_the_roster_does_not() -> None:
    stub = Stub("c")
    assert stub.owned() == ["", "a", "b"]
    assert not stub.members.alone


def test_a_hub_that_has_just_written_lives_whatever_the_roster_said() -> None:
    stub = Stub("b", "c")
    stub.members.wrote("a")
    assert stub.owned() == ["b"]
    assert stub.changes == 1
    stub.members.wrote("a")
    assert stub.changes == 1
    stub.answer(roster("b", "c"))
    assert stub.owned() == ["", "a", "b"]


# --- renewing the lease --------------------------------------------------------------------------


def test_it_renews_every_second_one_at_a_time_and_reports_this_hub() -> None:
    stub = Stub("a", "b")
    stub.scheduler.advance(5)
    assert stub.reports == [HubReport(1, 2, 3)], "the first one has not been answered"
    stub.answer(roster("a", "b"))
    stub.scheduler.advance(0.99)
    assert len(stub.reports) <= 2
    stub.scheduler.advance(0.02)
    assert len(stub.reports) == 2
    assert stub.changes == 0
    stub.answer(roster("b"))
    assert stub.changes == 1
    assert stub.members.alone


def test_while_the_store_is_away_it_asks_nothing_and_failures_are_reported() -> None:
    stub = Stub("a", "b")
    stub.answer(Away("no answer"))
    stub.scheduler.advance(1)
    stub.answer(Fenced())
    assert stub.heard == [Away("no answer"), Fenced()]
    assert stub.owned() == ["b"], "silence of the store says nothing about other hubs"
    stub.away = True
    stub.scheduler.advance(10)
    assert len(stub.reports) == 2


def test_absences_do_not_count_for_one_lease_after_the_store_was_away() -> None:
    stub = Stub("a", "b", "c")
    stub.members.store_returned()
    stub.answer(roster("b"))
    assert stub.owned() == ["b"]
    for _ in range(int(HUB_LEASE) - 1):
        stub.scheduler.advance(1)
        stub.answer(roster("b"))
    assert stub.owned() == ["b"]
    stub.scheduler.advance(1.01)
    stub.answer(roster("b"))
    assert stub.owned() == ["", "a", "b", "c"]


def test_a_hub_that_joins_meanwhile_counts_at_once() -> None:
    stub = Stub("b", "c")
    stub.members.store_returned()
    stub.answer(roster("a", "b"))
    assert stub.owned() == ["b"]


def test_renewals_are_read_on_every_second_tick_while_others_live_and_one_at_a_time() -> None:
    stub = Stub("a", "b")
    stub.scheduler.advance(10)
    assert stub.positions == [""]
    stub.readers[0](ForeignRenewals("7", [ForeignRenewal("x", "then", 0.5)]))  # type: ignore[operator]
    assert stub.heard == [ForeignRenewal("x", "then", 0.5)]
    stub.scheduler.advance(2)
    assert stub.positions == ["", "7"]
    stub.readers[1](Away("no answer"))  # type: ignore[operator]
    stub.scheduler.advance(2)
    assert stub.positions == ["", "7", "7"], "nothing is skipped"
    stub.readers[2](ForeignRenewals("9", []))  # type: ignore[operator]
    stub.answer(roster("b"))
    stub.scheduler.advance(10)
    assert len(stub.positions) == 3


def test_it_asks_no_more_once_stopped() -> None:
    stub = Stub("a", "b")
    stub.answer(roster("a", "b"))
    stub.members.stop()
    stub.scheduler.advance(10)
    assert len(stub.reports) == 1


# --- in a cluster --------------------------------------------------------------------------------


def hubs(cluster: Cluster, name: str) -> list[str]:
    return [hub.hub_id for hub in cluster[name].supervisor.roster]


def test_every_hub_lists_all_living_hubs_with_their_figures_in_order_of_their_ids() -> None:
    cluster = Cluster("c", "a", "b")
    cluster["b"].agent("b1")
    cluster["b"].agent("b2")
    cluster["c"].watcher()
    cluster["b"].http_register("h")
    cluster.advance(2)
    for hub in cluster.hubs.values():
        assert [
            (each.hub_id, each.agents, each.sessions, each.revision)
            for each in hub.supervisor.roster
        ] == [("a", 1, 0, 3), ("b", 2, 2, 3), ("c", 0, 1, 3)]


def test_a_hub_that_joins_is_known_to_all_before_it_serves() -> None:
    cluster = Cluster("b", "c")
    cluster.start("a")
    for name in "abc":
        assert hubs(cluster, name) == ["a", "b", "c"]


def test_a_hub_that_stops_is_gone_within_two_ticks_and_one_that_is_killed_after_its_lease() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.drain("b")
    assert cluster.until(lambda: hubs(cluster, "a") == ["a", "c"], 2.1, 0.01) is not None
    cluster.kill("c")
    took = cluster.until(lambda: hubs(cluster, "a") == ["a"], 20, 0.01)
    assert took is not None
    assert HUB_LEASE - 1.0 <= took <= HUB_LEASE + 1.1
    assert cluster["a"].supervisor.alone
    assert cluster["a"].observer.hubs[-2:] == [["a", "c"], ["a"]]


def test_with_a_new_leader_http_agents_go_to_it_and_websocket_agents_stay() -> None:
    cluster = Cluster("b", "c")
    cluster["c"].http_register("h")
    cluster["c"].agent("w")
    cluster.advance(2)
    figures = {each.hub_id: each.agents for each in cluster["b"].supervisor.roster}
    assert figures == {"b": 1, "c": 1}
    cluster.start("a")
    cluster.advance(3)
    figures = {each.hub_id: each.agents for each in cluster["b"].supervisor.roster}
    assert figures == {"a": 1, "b": 0, "c": 1}
    cluster.kill("a")
    cluster.advance(HUB_LEASE + 3)
    figures = {each.hub_id: each.agents for each in cluster["b"].supervisor.roster}
    assert figures == {"b": 1, "c": 1}


def test_leases_that_lapsed_while_the_store_was_away_end_no_hub() -> None:
    cluster = Cluster("a", "b")
    links = [cluster["b"].agent(f"b{n}")[0] for n in range(3)]
    watcher = cluster["a"].watcher()
    cluster.store.reachable = False
    cluster.advance(30)
    cluster.store.reachable = True
    cluster["b"].port.cut = True  # a is back sooner
    cluster.advance(HUB_LEASE - 2)
    cluster["b"].port.cut = False
    cluster.advance(HUB_LEASE)
    assert told(watcher) == []
    assert [link.close_code for link in links] == [None] * 3
    assert hubs(cluster, "a") == ["a", "b"]
    cluster.agree()


def test_a_hub_that_is_not_back_one_lease_after_the_store_is_dead_after_all() -> None:
    cluster = Cluster("a", "b")
    cluster["b"].agent("b1")
    watcher = cluster["a"].watcher()
    cluster.store.reachable = False
    cluster.advance(15)
    cluster.kill("b")
    cluster.store.reachable = True
    cluster.advance(HUB_LEASE - 1)
    assert told(watcher) == []
    cluster.advance(3.5)
    assert [each[1] for each in told(watcher)] == ["lost"]
