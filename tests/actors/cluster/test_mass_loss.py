"""Unreachable agents of a mass loss stay listed until it is acknowledged, over or too old."""

from __future__ import annotations

import itertools
import time

import pytest

from actors.cluster.mass_loss import HoldRules, MassLossGuard, Population
from actors.cluster.removal_hold import hold_rules
from actors.limits import Limits
from actors.timing import Timing
from homeport_protocol.timestamps import format_timestamp
from tests.support.cluster_world import Cluster, kinds
from tests.support.world import FakeLink, World

TTL = 60.0
HOLD = 300.0
SMALL_HOLD = 120.0
GRACE = 60.0
REVISIONS = itertools.count(1)


class Fleet:
    """Agents of one namespace, as the guard is told of them; a0, a1 and so on at the start."""

    def __init__(self, agents: int, share: float = 0.15, hold: float = HOLD) -> None:
        rules = HoldRules(share=share, hold=hold, small_hold=SMALL_HOLD, grace=GRACE)
        self.guard = MassLossGuard(rules)
        self.reachable = {f"a{number}" for number in range(agents)}
        self.unreachable: set[str] = set()
        self.registered: dict[str, float] = {}
        self.guard.changed(self.population, -1.0)

    @property
    def population(self) -> Population:
        reachable = len(self.reachable)
        return Population(reachable + len(self.unreachable), reachable)

    def lose(self, first: int, last: int, at: float) -> None:
        for number in range(first, last):
            self.lose_one(f"a{number}", at, number + 1)

    def lose_one(self, agent_id: str, at: float, revision: int = 0) -> None:
        self.reachable.discard(agent_id)
        self.unreachable.add(agent_id)
        self.guard.lost(
            agent_id,
            self.population,
            at,
            role=self.role(agent_id),
            revision=revision or next(REVISIONS),
            registered_at=self.registered.get(agent_id, -1.0),
        )

    def find(self, agent_id: str, at: float) -> None:
        self.unreachable.discard(agent_id)
        self.reachable.add(agent_id)
        self.guard.found(agent_id)
        self.guard.changed(self.population, at)

    def come(self, agent_id: str, at: float) -> None:
        self.registered[agent_id] = at
        self.reachable.add(agent_id)
        self.guard.registered(agent_id, self.population, at, role=self.role(agent_id))

    def crash(self, second: int) -> None:
        """A crasher comes; that of 5 s ago is lost, and that of 65 s ago is removed."""
        self.come(f"crasher-{second}", float(second))
        if second >= 5:
            self.lose_one(f"crasher-{second - 5}", second + 0.5)
        if second >= 65:
            self.remove(f"crasher-{second - 65}", second + 0.6)

    def role(self, agent_id: str) -> tuple[str, str]:
        """Agents named "x" and "x.1" have one role; the others have one each."""
        return agent_id.partition(".")[0], "test"

    def remove(self, agent_id: str, at: float) -> None:
        self.unreachable.discard(agent_id)
        self.reachable.discard(agent_id)
        self.guard.removed(agent_id)
        self.guard.changed(self.population, at)

    def held(self, at: float) -> int:
        """How many are held; the same by each of the guard's answers."""
        held = self.guard.held(at)
        assert all(self.guard.held_until(agent_id) == until for agent_id, until in held.items())
        if held:
            assert self.guard.active(at)
        return len(held)


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
        (1000, 500, True),
        (1000, 1000, True),
    ],
)
def test_more_than_the_share_and_at_least_ten_make_a_mass_loss(
    agents: int, lost: int, held: bool
) -> None:
    fleet = Fleet(agents)
    fleet.lose(0, lost, 0.0)
    assert fleet.held(0.0) == (lost if held else 0)
    assert fleet.guard.active(0.0) is held


def test_only_what_was_lost_within_a_minute_counts() -> None:
    fleet = Fleet(20)
    fleet.lose(0, 9, 0.0)
    fleet.lose(9, 18, 60.0)
    assert fleet.held(60.0) == 0
    fleet.lose(18, 19, 60.0)
    assert fleet.held(60.0) == 10
    near = Fleet(20)
    near.lose(0, 9, 0.0)
    near.lose(9, 10, 59.9)
    assert near.held(60.0) == 10


def test_one_agent_lost_again_and_again_is_one() -> None:
    fleet = Fleet(10)
    for number in range(20):
        fleet.lose_one("a1", float(number))
        fleet.find("a1", number + 0.5)
    assert fleet.held(20.0) == 0


def test_a_loss_of_all_is_never_held_with_a_share_of_one() -> None:
    fleet = Fleet(12, share=1.0)
    fleet.lose(0, 12, 0.0)
    assert fleet.held(0.0) == 0


def test_the_loss_of_a_whole_fleet_is_counted_once_and_not_again_with_every_agent() -> None:
    """Counted again each time, 20,000 took 5 s of the hub's time, and 50,000 half a minute."""
    guard = MassLossGuard(HoldRules(share=0.15, hold=3600.0, small_hold=120.0, grace=GRACE))
    guard.changed(Population(20_000, 20_000), 0.0)
    began = time.process_time()
    for number in range(20_000):
        population = Population(20_000, 19_999 - number)
        at = number / 1000
        role = (f"agent-{number}", "test")
        guard.lost(f"agent-{number}", population, at, role=role, revision=number, registered_at=0.0)
    assert time.process_time() - began < 1.0
    assert len(guard.held(20.0)) == 20_000


# --- what is usual -------------------------------------------------------------------------------


def test_agents_that_crash_and_are_replaced_are_no_mass_loss_from_the_first_second() -> None:
    """40 living, and one short-lived crasher a second: its loss is noticed 5 s later."""
    fleet = Fleet(40)
    listed = 0
    for second in range(1800):
        fleet.crash(second)
        assert fleet.held(second + 0.9) == 0
        listed = max(listed, fleet.population.listed)
    assert len(fleet.guard._not_held) <= 256, "nothing grows"
    assert listed == 40 + 5 + 60


def test_a_crash_rate_that_is_steady_is_usual_after_three_minutes() -> None:
    """A hundred agents of a thousand are lost every ten seconds, and return ten seconds later."""
    fleet = Fleet(1000)
    held_last = 0.0
    for turn in range(60):
        at = turn * 10.0
        for number in range(100):
            if turn:
                fleet.find(f"a{(turn - 1) % 5 * 100 + number}", at)
        for number in range(100):
            fleet.lose_one(f"a{turn % 5 * 100 + number}", at)
        if fleet.held(at):
            held_last = at
    assert held_last == 0.0, "never more than a tenth is away at once"


def test_waves_that_come_every_minute_are_usual_after_three_of_them() -> None:
    fleet = Fleet(100)
    held = []
    for minute in range(10):
        at = minute * 60.0
        for number in range(40):
            fleet.lose_one(f"a{number}", at)
        held.append(fleet.held(at) > 0)
        for number in range(40):
            fleet.find(f"a{number}", at + 20.0)
    assert held == [True] * 3 + [False] * 7


def test_a_mass_loss_beyond_what_is_usual_is_held() -> None:
    fleet = Fleet(200)
    for second in range(600):
        fleet.crash(second)
    assert fleet.held(600.0) == 0
    fleet.lose(0, 100, 600.0)
    assert {f"a{number}" for number in range(100)} <= fleet.guard.held(600.0).keys()


def test_those_that_crash_all_the_time_take_no_place_of_others() -> None:
    fleet = Fleet(40)
    for second in range(600):
        fleet.crash(second)
    fleet.lose(0, 40, 600.0)
    held = fleet.guard.held(600.0).keys()
    assert len(held) <= 46
    assert {f"a{number}" for number in range(40)} <= held


def test_one_great_loss_does_not_make_the_next_one_usual() -> None:
    fleet = Fleet(100)
    for at in (0.0, 700.0):
        fleet.lose(0, 50, at)
        assert fleet.held(at) == 50
        for number in range(50):
            fleet.find(f"a{number}", at + 30.0)


def test_a_planned_replacement_of_all_agents_is_no_mass_loss() -> None:
    """New ones come before old ones are killed."""
    fleet = Fleet(100)
    for number in range(100):
        fleet.come(f"new-{number}", number * 0.1)
        fleet.lose_one(f"a{number}", number * 0.1 + 0.05)
    assert fleet.held(10.0) == 0


# --- ends ----------------------------------------------------------------------------------------


def test_each_is_held_for_its_time_after_its_own_loss() -> None:
    fleet = Fleet(100)
    fleet.lose(0, 20, 0.0)
    fleet.lose(20, 30, 30.0)
    assert fleet.guard.held_until("a0") == HOLD
    assert fleet.guard.held_until("a19") == HOLD
    assert fleet.guard.held_until("a20") == 30.0 + HOLD
    assert fleet.held(HOLD - 0.1) == 30
    assert fleet.held(HOLD) == 10
    assert fleet.held(HOLD + 30.0) == 0
    assert not fleet.guard.active(HOLD + 30.0)


@pytest.mark.parametrize(("agents", "hold"), [(10, SMALL_HOLD), (49, SMALL_HOLD), (50, HOLD)])
def test_a_small_fleet_is_held_for_less(agents: int, hold: float) -> None:
    fleet = Fleet(agents)
    fleet.lose(0, agents, 7.0)
    assert fleet.guard.held_until("a0") == 7.0 + hold
    assert fleet.held(7.0 + hold - 0.1) == agents
    assert fleet.held(7.0 + hold) == 0


def test_what_was_held_until_its_end_is_not_held_again() -> None:
    fleet = Fleet(100, hold=20.0)
    fleet.lose(0, 20, 0.0)
    assert not fleet.guard.active(20.0)
    fleet.lose(20, 22, 21.0)
    assert fleet.held(21.0) == 0


def test_never_more_are_held_than_were_reachable() -> None:
    """In waves, each with agents of new names, that are lost before any of them is usual."""
    fleet = Fleet(100, hold=3000.0)
    counts = []
    for wave in range(10):
        at = wave * 200.0
        for number in range(100):
            fleet.come(f"w{wave}-{number}", at)
        for number in range(100):
            fleet.lose_one(f"w{wave}-{number}", at + 1.0)
        for agent_id in fleet.unreachable - fleet.guard.held(at + 1.0).keys():
            fleet.remove(agent_id, at + 61.0)
        counts.append(fleet.held(at + 61.0))
    assert counts == [100] + [200] * 9
    for agent_id, until in fleet.guard.held(0.0).items():
        assert until == int(agent_id[1:].partition("-")[0]) * 200.0 + 1.0 + 3000.0


def test_when_enough_have_returned_the_rest_has_a_grace_before_it_lifts_itself() -> None:
    fleet = Fleet(20)
    fleet.lose(0, 12, 0.0)
    fleet.find("a1", 1.0)
    fleet.find("a2", 1.0)
    assert fleet.guard.held_until("a3") == SMALL_HOLD
    fleet.find("a3", 1.0)
    assert fleet.held(1.0) == 9
    assert fleet.held(GRACE + 0.9) == 9
    assert fleet.held(GRACE + 1.0) == 0
    assert not fleet.guard.active(GRACE + 1.0)


def test_the_grace_makes_no_hold_longer() -> None:
    fleet = Fleet(20)
    fleet.lose(0, 12, 0.0)
    for number in range(1, 4):
        fleet.find(f"a{number}", 100.0)
    assert fleet.guard.held_until("a0") == SMALL_HOLD


def test_a_new_loss_during_the_grace_is_held_for_its_whole_time() -> None:
    fleet = Fleet(50)
    fleet.lose(0, 12, 0.0)
    for number in range(1, 4):
        fleet.find(f"a{number}", 1.0)
    assert fleet.guard.held_until("a0") == GRACE + 1.0
    fleet.lose(12, 20, 30.0)
    assert fleet.guard.held_until("a0") == HOLD
    assert fleet.guard.held_until("a12") == 30.0 + HOLD


def test_when_all_have_returned_nothing_is_held() -> None:
    fleet = Fleet(20)
    fleet.lose(0, 12, 0.0)
    for number in range(12):
        fleet.find(f"a{number}", 0.5)
    assert fleet.held(1.0) == 0
    assert not fleet.guard.active(1.0)


def test_an_acknowledgement_counts_for_what_was_lost_before_it() -> None:
    fleet = Fleet(20)
    fleet.lose(0, 12, 0.0)
    fleet.guard.acknowledged(11)
    assert fleet.guard.held(1.0).keys() == {"a11"}
    fleet.guard.acknowledged(12)
    assert fleet.held(1.0) == 0
    fleet.lose(12, 20, 2.0)
    assert fleet.held(2.0) == 0, "eight more are no mass loss by themselves"


def test_the_times_follow_from_the_settings() -> None:
    default = hold_rules(Timing())
    assert (default.hold, default.small_hold, default.grace) == (600.0, 120.0, 60.0)
    assert hold_rules(Timing(loss_hold=30.0)).small_hold == 30.0
    assert hold_rules(Timing(loss_hold=900.0)).small_hold == 900.0
    slow = Timing(heartbeat_interval=300.0, heartbeat_timeout=450.0, lease_ttl=500.0)
    assert (hold_rules(slow).period, hold_rules(slow).small_hold) == (450.0, 600.0)


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
    world = World(Timing(loss_hold=HOLD))
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


@pytest.mark.parametrize(
    ("agents", "removed_after"), [(9, 65.0), (10, 125.0), (49, 125.0), (50, 605.0)]
)
def test_a_fleet_that_is_killed_on_purpose_is_gone_in_time(
    agents: int, removed_after: float
) -> None:
    world = World()
    links = fleet(world, agents)
    began = world.scheduler.now()
    vanish(links)
    ended = world.scheduler.now()
    world.scheduler.run_until(began + removed_after - 0.01)
    assert len(world.supervisor.directory) == agents
    world.scheduler.run_until(ended + removed_after + 0.05)
    assert len(world.supervisor.directory) == 0
    assert world.supervisor.loss is None


def test_each_held_agent_has_an_end_that_is_told() -> None:
    world = World(Timing(loss_hold=HOLD))
    links = fleet(world, 20)
    vanish(links[:12])
    world.advance(30)
    vanish(links[12:14])
    world.advance(6)
    removal = world.supervisor.replica.removal
    assert removal.until == pytest.approx(world.scheduler.wall() - 1.0 + HOLD, abs=0.1)
    phrase = world.supervisor.loss
    assert phrase is not None
    assert phrase.endswith(f"or {format_timestamp(removal.until)[:19]}Z")
    assert world.supervisor.stats().removal_held_until == removal.until
    by_id = {}
    for agent_id in world.supervisor.directory.ids():
        entry = world.supervisor.directory.get(agent_id)
        assert entry is not None
        by_id[entry.record.name] = agent_id
    first = removal.reason_for(by_id["a0"])
    assert first is not None
    assert format_timestamp(removal.until - 30.0)[:19] in first
    assert removal.reason_for(by_id["a19"]) is None


def crash(world: World, seconds: range, living: list[str]) -> list[int]:
    """One short-lived crasher a second; the numbers of listed agents, each second."""
    began = world.scheduler.now()
    listed = []
    for second in seconds:
        if second % 30 == 0:
            for agent_id in living:
                world.http_heartbeat(agent_id)
        world.agent(f"crasher-{second}")[0].vanish()
        world.scheduler.run_until(began + second - seconds.start + 1.0)
        listed.append(len(world.supervisor.directory))
    return listed


def test_a_steady_crasher_holds_nothing_and_nothing_accumulates() -> None:
    """40 living, and one short-lived crasher a second: 421 were listed before."""
    world = World()
    living = [world.http_register(f"h{number}").agent_id for number in range(40)]
    listed = crash(world, range(900), living)
    # (In a second in which the living say that they live, two more crash.)
    assert max(listed) <= 40 + 65 + 2
    assert listed[-1] >= 40 + 60
    assert world.observer.holds == []


def test_a_mass_loss_beside_a_steady_crasher_is_held() -> None:
    world = World()
    living = [world.http_register(f"h{number}").agent_id for number in range(40)]
    crash(world, range(300), living)
    crash(world, range(301, 410), [])  # the living are silent, the crashers go on
    assert world.supervisor.loss is not None
    assert all(agent_id in world.supervisor.directory for agent_id in living)
    assert world.supervisor.stats().agents_lost_at_once <= 46


@pytest.mark.parametrize("log_length", [1000, 5])
def test_a_restart_changes_no_agents_end(log_length: int) -> None:
    """With the whole log, and with so little of it that only the records tell."""
    world = World(Timing(loss_hold=HOLD), Limits(log_length=log_length))
    links = fleet(world, 30)
    vanish(links[:14])
    world.advance(40)
    vanish(links[14:16])
    world.advance(20)
    before = ends(world)
    assert len(before) == 16
    again = world.restart()
    again.advance(1)
    assert ends(again) == pytest.approx(before, abs=0.01)


def test_what_is_usual_is_known_after_a_restart() -> None:
    world = World()
    for minute in range(5):
        links = [world.agent(f"m{minute}-{number}")[0] for number in range(30)]
        vanish(links)
        world.advance(60.0)
    assert world.supervisor.loss is None
    again = world.restart()
    again.advance(1)
    vanish([again.agent(f"late-{number}")[0] for number in range(30)])
    again.advance(10)
    assert again.supervisor.loss is None


def ends(world: World) -> dict[str, float]:
    """Until when agents are held, by id, in Unix time."""
    removal = world.supervisor.replica.removal
    now, wall = world.scheduler.now(), world.scheduler.wall()
    found = {each: removal.held_until(each) for each in world.supervisor.directory.ids()}
    return {each: wall + until - now for each, until in found.items() if until > now}


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
