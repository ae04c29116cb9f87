"""After a mass loss unreachable agents stay listed until it is acknowledged, over or too old."""

from __future__ import annotations

import time

import pytest

from actors.cluster.mass_loss import MassLossGuard
from actors.timing import Timing
from tests.support.cluster_world import Cluster, kinds
from tests.support.world import FakeLink, World

TTL = 60.0
HOLD = 300.0
GRACE = 60.0


def guard(agents: int, share: float = 0.15) -> MassLossGuard:
    return MassLossGuard(share, HOLD, GRACE, lambda: agents)


def lose(losses: MassLossGuard, first: int, last: int, at: float) -> None:
    for number in range(first, last + 1):
        losses.turned_unreachable(f"a{number}", at, number)


# --- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "lost", "held"),
    [
        (9, 9, False),
        (10, 10, True),
        (66, 10, True),
        (67, 10, False),
        (100, 15, False),
        (100, 16, True),
        (1000, 150, False),
        (1000, 151, True),
    ],
)
def test_more_than_the_share_and_at_least_ten_make_a_mass_loss(
    agents: int, lost: int, held: bool
) -> None:
    losses = guard(agents)
    lose(losses, 1, lost, 0.0)
    assert losses.holds(0.0) is held
    assert losses.lost == (lost if held else 0)


def test_only_what_was_lost_within_a_minute_counts() -> None:
    losses = guard(20)
    lose(losses, 1, 9, 0.0)
    lose(losses, 10, 18, 60.0)
    assert not losses.holds(60.0)
    losses.turned_unreachable("one more", 60.0, 19)
    assert losses.holds(60.0)
    near = guard(20)
    lose(near, 1, 9, 0.0)
    near.turned_unreachable("a10", 59.9, 10)
    assert near.holds(60.0)


def test_one_agent_lost_again_and_again_is_one() -> None:
    losses = guard(10)
    for number in range(20):
        losses.turned_unreachable("a1", float(number), number)
    assert not losses.holds(20.0)


def test_when_enough_have_returned_the_rest_has_a_grace_before_it_lifts_itself() -> None:
    losses = guard(20)
    lose(losses, 1, 12, 0.0)
    losses.found("a1")
    losses.found("a2")
    assert losses.holds(1.0)
    losses.found("a3")
    assert losses.holds(1.0)
    assert losses.holds(GRACE + 0.9)
    assert not losses.holds(GRACE + 1.0)
    assert losses.lost == 0


def test_a_new_loss_during_the_grace_is_held_for_its_whole_time() -> None:
    losses = guard(20)
    lose(losses, 1, 12, 0.0)
    for number in range(1, 4):
        losses.found(f"a{number}")
    assert losses.holds(1.0)
    lose(losses, 13, 20, 30.0)
    assert losses.holds(GRACE + 1.0)
    assert losses.holds(30.0 + HOLD - 0.1)


def test_when_all_have_returned_nothing_is_held() -> None:
    losses = guard(20)
    lose(losses, 1, 12, 0.0)
    for number in range(1, 13):
        losses.found(f"a{number}")
    assert not losses.holds(1.0)


def test_an_acknowledgement_counts_for_what_was_lost_before_it() -> None:
    losses = guard(20)
    lose(losses, 1, 12, 0.0)
    losses.acknowledged(11)
    assert losses.holds(1.0)
    losses.acknowledged(12)
    assert not losses.holds(1.0)
    lose(losses, 13, 20, 2.0)
    assert not losses.holds(2.0), "eight more are no mass loss by themselves"


def test_it_lifts_itself_when_the_time_has_passed_since_the_last_loss() -> None:
    losses = guard(40)
    lose(losses, 1, 12, 0.0)
    lose(losses, 13, 14, 30.0)
    assert losses.holds(HOLD + 29.9)
    assert not losses.holds(HOLD + 30.0)


def test_the_loss_of_a_whole_fleet_is_counted_once_and_not_again_with_every_agent() -> None:
    """Counted again each time, 20,000 took 5 s of the hub's time, and 50,000 half a minute."""
    guard = MassLossGuard(0.15, 3600.0, GRACE, lambda: 20_000)
    began = time.process_time()
    for number in range(20_000):
        guard.turned_unreachable(f"agent-{number}", number / 1000, number)
    assert time.process_time() - began < 1.0
    assert guard.lost == 20_000


def test_a_loss_of_all_is_never_held_with_a_share_of_one() -> None:
    losses = guard(12, share=1.0)
    lose(losses, 1, 12, 0.0)
    assert not losses.holds(0.0)


# --- in a hub ------------------------------------------------------------------------------------


def fleet(world: World, agents: int) -> list[FakeLink]:
    return [world.agent(f"a{number}")[0] for number in range(agents)]


def vanish(links: list[FakeLink]) -> None:
    for link in links:
        link.vanish()


def test_nine_lost_at_once_are_removed_as_usual() -> None:
    world = World()
    vanish(fleet(world, 9))
    world.advance(5.1)
    assert world.supervisor.loss is None
    assert world.observer.holds == []
    world.advance(TTL + 0.1)
    assert len(world.supervisor.directory) == 0


def test_ten_lost_at_once_are_marked_and_not_removed_and_the_entries_do_not_run_out() -> None:
    world = World(Timing(loss_hold=HOLD))
    watcher = world.watcher()
    vanish(fleet(world, 10))
    world.advance(5.1)
    assert kinds(watcher).count("status_changed") == 10
    for _ in range(29):
        world.advance(10)
        world.store.expire()
        assert len(world.store.entries) == len(world.supervisor.directory) == 10
    assert kinds(watcher) == []
    assert world.supervisor.loss is not None


def test_the_entries_outlast_an_outage_of_the_store_around_the_end_of_their_leases() -> None:
    world = World(Timing(loss_hold=HOLD))
    vanish(fleet(world, 12))
    world.advance(5.2)
    now = world.scheduler.now()
    assert min(expires for _, _, expires in world.store.entries.values()) > now + 1.5 * TTL
    world.advance(50)
    world.store.reachable = False
    world.advance(30)
    world.store.reachable = True
    world.store.expire()
    assert len(world.store.entries) == 12


def test_the_loss_is_reported_in_one_phrase_in_figures_and_to_the_observer() -> None:
    world = World()
    links = fleet(world, 20)
    assert (world.supervisor.loss, world.supervisor.stats().agents_lost_at_once) == (None, 0)
    vanish(links[:12])
    world.advance(5.1)
    phrase = world.supervisor.loss
    assert phrase is not None
    assert phrase.startswith("12 of 20 agents were lost at once")
    assert world.supervisor.stats().agents_lost_at_once == 12
    assert len(world.observer.holds) == 1
    assert world.observer.holds[0] is not None
    world.supervisor.acknowledge_loss(lambda _: None)
    world.advance(6)
    assert (world.supervisor.loss, world.supervisor.stats().agents_lost_at_once) == (None, 0)
    assert world.observer.holds[-1] is None


def test_once_the_time_has_passed_they_are_removed() -> None:
    world = World(Timing(loss_hold=HOLD))
    watcher = world.watcher()
    vanish(fleet(world, 12))
    world.advance(5.1)
    kinds(watcher)
    world.advance(HOLD - 1)
    assert kinds(watcher) == []
    world.advance(7)
    assert kinds(watcher) == ["expired"] * 12
    assert world.supervisor.loss is None
    assert world.store.entries == {}


def test_when_most_return_the_rest_is_removed() -> None:
    world = World()
    watcher = world.watcher()
    polling = [world.http_register(f"h{number}").agent_id for number in range(12)]
    world.advance(46)
    assert world.supervisor.loss is not None
    world.advance(100)
    for agent_id in polling[:3]:
        world.http_heartbeat(agent_id)
    world.advance(world.timing.lease_ttl - 2)
    assert "expired" not in kinds(watcher), "agents on their way back are still listed"
    world.http_heartbeat(polling[0])
    world.advance(8)
    assert world.supervisor.loss is None
    assert kinds(watcher).count("expired") == 9
    assert sorted(world.supervisor.directory.ids()) == sorted(polling[:3])


def test_agents_that_unregister_or_report_themselves_unreachable_are_no_loss() -> None:
    world = World()
    links = fleet(world, 24)
    for link in links[:12]:
        link.ask(op="unregister")
    for link in links[12:]:
        link.ask(op="heartbeat", status="unreachable")
    world.advance(1)
    assert world.supervisor.loss is None


def test_an_agent_may_unregister_while_removal_is_held() -> None:
    world = World()
    polling = [world.http_register(f"h{number}").agent_id for number in range(12)]
    world.advance(50)
    assert world.supervisor.loss is not None
    world.http_unregister(polling[0])
    assert polling[0] not in world.supervisor.directory


# --- in a cluster --------------------------------------------------------------------------------


def lost_fleet(agents: int = 12) -> tuple[Cluster, FakeLink]:
    """Hub b was killed with all its agents; hubs a and c live; a watcher at c."""
    cluster = Cluster("a", "b", "c", timing=Timing(loss_hold=HOLD))
    for number in range(agents):
        cluster["b"].agent(f"b{number}")
    cluster.advance(1)
    watcher = cluster["c"].watcher()
    cluster.kill("b")
    cluster.advance(16.5)
    assert kinds(watcher).count("status_changed") == agents
    return cluster, watcher


def test_all_hubs_hold_the_removal_of_a_dead_hubs_fleet() -> None:
    cluster, watcher = lost_fleet()
    for _ in range(25):
        cluster.advance(10)
        cluster.store.expire()
        assert len(cluster.store.entries) == 12
        for hub in cluster.hubs.values():
            assert hub.supervisor.loss is not None
            assert len(hub.supervisor.directory) == 12
    assert kinds(watcher) == []
    cluster.advance(60)
    assert kinds(watcher) == ["expired"] * 12
    assert [hub.supervisor.loss for hub in cluster.hubs.values()] == [None, None]
    cluster.agree()


@pytest.mark.parametrize("at", ["a", "c"])
def test_an_acknowledgement_at_any_hub_lets_all_of_them_go_on(at: str) -> None:
    cluster, watcher = lost_fleet()
    cluster.advance(100)
    assert kinds(watcher) == []
    answer = cluster[at].connect().ask(op="acknowledge_loss")
    assert (answer["op"], answer["agents"]) == ("loss_acknowledged", 12)
    cluster.advance(1.1 + 5.1)
    assert [hub.supervisor.loss for hub in cluster.hubs.values()] == [None, None]
    assert kinds(watcher) == ["expired"] * 12
    cluster.agree()


def test_an_acknowledgement_ends_with_the_loss_it_was_for() -> None:
    cluster, watcher = lost_fleet()
    cluster["c"].connect().ask(op="acknowledge_loss")
    cluster.advance(TTL + 10)
    kinds(watcher)
    vanish([cluster["c"].agent(f"c{number}")[0] for number in range(12)])
    cluster.advance(TTL + 20)
    assert kinds(watcher).count("expired") == 0
    assert cluster["a"].supervisor.loss is not None


def test_an_acknowledgement_that_the_store_did_not_take_is_unavailable_and_changes_nothing() -> (
    None
):
    cluster, _ = lost_fleet()
    cluster["c"].port.cut = True
    link = cluster["c"].connect()
    link.say(op="acknowledge_loss", id=1)
    cluster.advance(1.1)
    assert link.take("error")[0]["code"] == "unavailable"
    assert cluster["a"].supervisor.loss is not None


def test_agents_of_a_dead_hub_that_resume_elsewhere_end_the_loss() -> None:
    cluster = Cluster("a", "b", "c", timing=Timing(loss_hold=HOLD))
    held = [cluster["b"].agent(f"b{number}")[1] for number in range(12)]
    cluster.advance(1)
    cluster.kill("b")
    cluster.advance(120)
    assert cluster["a"].supervisor.loss is not None
    for each in held[:4]:
        assert cluster["c"].resume(each)[1]["resumed"] is True
    cluster.advance(70)
    assert cluster["a"].supervisor.loss is None
    assert len(cluster["a"].supervisor.directory) == 4
    cluster.agree()


def test_a_new_leader_goes_on_holding_removal_when_the_one_that_judged_dies() -> None:
    cluster, watcher = lost_fleet()
    cluster.kill("a")
    for _ in range(20):
        cluster.advance(10)
        cluster.store.expire()
        assert len(cluster.store.entries) == len(cluster["c"].supervisor.directory) == 12
    assert kinds(watcher) == []
    assert cluster["c"].supervisor.loss is not None
    cluster.advance(HOLD - 200 + 30)
    assert kinds(watcher) == ["expired"] * 12


@pytest.mark.parametrize("name", ["0", "d"])
def test_a_hub_that_starts_while_removal_is_held_holds_it_too(name: str) -> None:
    cluster, watcher = lost_fleet()
    cluster.advance(100)
    cluster.start(name)
    cluster.advance(TTL + 20)
    assert kinds(watcher) == []
    for hub in cluster.hubs.values():
        assert hub.supervisor.loss is not None
        assert len(hub.supervisor.directory) == 12
    cluster[name].connect().ask(op="acknowledge_loss")
    cluster.advance(10)
    assert kinds(watcher) == ["expired"] * 12
    cluster.agree()


def test_a_hub_alone_that_restarts_while_removal_is_held_holds_it_still() -> None:
    world = World(Timing(loss_hold=HOLD))
    vanish(fleet(world, 12))
    world.advance(100)
    assert world.supervisor.loss is not None
    again = world.restart()
    again.advance(TTL + 60)
    assert len(again.supervisor.directory) == 12
    assert again.supervisor.loss is not None
