"""Lost agents that others of their name and type have replaced are no loss."""

from __future__ import annotations

import random
import time

import pytest

from actors.cluster.successors import REMEMBERED, Role, Successors
from actors.limits import Limits
from actors.timing import Timing
from tests.actors.cluster.test_mass_loss import HOLD, TTL, Fleet, fleet, vanish
from tests.support.cluster_world import Cluster, kinds
from tests.support.world import FakeLink, World

# --- pairs ---------------------------------------------------------------------------------------

COST: Role = ("worker", "cost")


def test_each_new_agent_stands_for_one_lost_agent() -> None:
    pairs = Successors()
    for number in range(3):
        assert not pairs.lost(f"old-{number}", COST, 1.0)
    assert pairs.registered("new-0", COST, 2.0) == "old-0"
    assert pairs.registered("new-1", COST, 2.0) == "old-1"
    assert pairs.registered("new-2", COST, 2.0) == "old-2"
    assert pairs.registered("new-3", COST, 2.0) is None
    assert pairs.lost("old-3", COST, 3.0)
    assert not pairs.lost("old-4", COST, 3.0)


@pytest.mark.parametrize("role", [("worker", "resource"), ("worker-2", "cost")])
def test_another_name_or_type_is_no_successor(role: Role) -> None:
    pairs = Successors()
    assert not pairs.lost("old", COST, 1.0)
    assert pairs.registered("new", role, 2.0) is None
    assert not pairs.lost("older", COST, 3.0)


def test_an_agent_does_not_stand_for_itself() -> None:
    pairs = Successors()
    assert pairs.registered("one", COST, 1.0) is None
    assert not pairs.lost("one", COST, 2.0)


def test_one_that_is_back_needs_no_successor_any_more() -> None:
    pairs = Successors()
    assert pairs.registered("new", COST, 1.0) is None
    assert pairs.lost("old-0", COST, 2.0)
    pairs.back("old-0")
    assert pairs.lost("old-1", COST, 3.0)
    assert not pairs.lost("old-0", COST, 4.0)
    pairs.back("old-0")
    assert pairs.registered("newer", COST, 5.0) is None


def test_whom_a_lost_successor_stood_for_stays_replaced() -> None:
    pairs = Successors()
    assert not pairs.lost("first", COST, 1.0)
    assert pairs.registered("second", COST, 2.0) == "first"
    assert not pairs.lost("second", COST, 3.0)
    assert pairs.registered("third", COST, 4.0) == "second"


def test_one_that_is_gone_stands_for_none_and_none_stands_for_it() -> None:
    pairs = Successors()
    pairs.registered("new", COST, 1.0)
    pairs.gone("new")
    assert not pairs.lost("old", COST, 2.0)
    pairs.gone("old")
    assert pairs.registered("newer", COST, 3.0) is None


def test_what_is_long_ago_is_forgotten() -> None:
    pairs = Successors()
    pairs.registered("new", COST, 1.0)
    pairs.forget(1.0)
    assert not pairs.lost("old", COST, 2.0)
    pairs.forget(2.0)
    assert pairs.registered("newer", COST, 3.0) is None
    assert len(pairs) == 1


def test_what_is_remembered_is_bounded() -> None:
    pairs = Successors()
    for number in range(3 * REMEMBERED):
        pairs.registered(f"new-{number}", COST, 1.0)
    assert len(pairs) == REMEMBERED
    assert pairs.lost("old", COST, 2.0)
    assert pairs._new[f"new-{2 * REMEMBERED}"].predecessor == "old", "the oldest that it remembers"


def test_a_step_takes_no_longer_for_many_agents() -> None:
    pairs = Successors()
    began = time.process_time()
    for number in range(50_000):
        pairs.lost(f"old-{number}", COST, 1.0)
    for number in range(50_000):
        pairs.registered(f"new-{number}", COST, 2.0)
    assert time.process_time() - began < 3.0


def test_whatever_happens_pairs_are_of_two_and_nothing_is_left_behind() -> None:
    chance = random.Random("successors")
    roles = [("a", "cost"), ("b", "cost"), ("a", "resource")]
    for _ in range(200):
        pairs, role_of = Successors(), dict[str, Role]()
        lost, living = set[str](), set[str]()
        for at in range(60):
            known = sorted(living | lost)
            match chance.randrange(5):
                case 0 | 1:
                    agent_id = f"agent-{at}"
                    role = role_of[agent_id] = chance.choice(roles)
                    found = pairs.registered(agent_id, role, float(at))
                    assert found is None or (found in lost and role_of[found] == role)
                    living.add(agent_id)
                case 2 if living:
                    agent_id = chance.choice(sorted(living))
                    pairs.lost(agent_id, role_of[agent_id], float(at))
                    living.discard(agent_id)
                    lost.add(agent_id)
                case 3 if lost:
                    agent_id = chance.choice(sorted(lost))
                    pairs.back(agent_id)
                    lost.discard(agent_id)
                    living.add(agent_id)
                case 4 if known:
                    agent_id = chance.choice(known)
                    pairs.gone(agent_id)
                    lost.discard(agent_id)
                    living.discard(agent_id)
                case _:
                    pairs.forget(at - 20.0)
            assert set(pairs._successors.values()) <= pairs._new.keys() & living
            assert len(set(pairs._successors.values())) == len(pairs._successors)
            assert pairs._lost.keys() <= lost
        pairs.forget(1000.0)
        for kept in (pairs._new, pairs._lost, pairs._free, pairs._missing, pairs._successors):
            assert not kept


# --- the guard -----------------------------------------------------------------------------------


def come(fleet: Fleet, first: int, last: int, at: float) -> None:
    """The successors of these agents register."""
    for number in range(first, last):
        fleet.come(f"a{number}.1", at)


def test_those_whose_successors_came_before_are_not_lost() -> None:
    fleet = Fleet(24)
    come(fleet, 0, 12, 0.0)
    fleet.lose(0, 12, 5.0)
    assert not fleet.guard.active(5.0)
    fleet.lose(12, 24, 6.0)
    assert fleet.guard.held(6.0).keys() == {f"a{number}" for number in range(12, 24)}


def test_those_whose_successors_come_later_are_held_until_then() -> None:
    fleet = Fleet(24)
    fleet.lose(0, 12, 5.0)
    assert fleet.held(5.0) == 12
    come(fleet, 0, 3, 8.0)
    assert fleet.held(8.0) == 9
    come(fleet, 3, 12, 9.0)
    assert not fleet.guard.active(9.0)


@pytest.mark.parametrize(("at", "replaced"), [(59.9, True), (60.0, False)])
def test_a_successor_registers_within_the_period_before_or_after(at: float, replaced: bool) -> None:
    before = Fleet(24)
    come(before, 0, 12, 0.0)
    before.lose(0, 12, at)
    assert before.held(at) == (0 if replaced else 12)
    after = Fleet(24)
    after.lose(0, 12, 0.0)
    come(after, 0, 12, at)
    assert after.held(at) == (0 if replaced else 12)


def test_a_few_that_start_say_nothing_about_many_that_are_lost() -> None:
    """Twenty workers of one name; twelve are lost, and one more is started."""
    fleet = Fleet(0)
    for number in range(20):
        fleet.come(f"w.{number}", 0.0)
    for number in range(12):
        fleet.lose_one(f"w.{number}", 100.0)
    assert fleet.held(100.0) == 12
    fleet.come("w.20", 101.0)
    assert fleet.held(101.0) == 11


def test_one_that_comes_back_with_its_id_is_nobody_s_successor() -> None:
    fleet = Fleet(0)
    for number in range(20):
        fleet.come(f"w.{number}", 0.0)
    for number in range(14):
        fleet.lose_one(f"w.{number}", 100.0)
    fleet.find("w.0", 101.0)
    assert fleet.held(101.0) == 13


def test_a_successor_that_is_lost_as_well_counts_and_its_predecessor_does_not() -> None:
    fleet = Fleet(24)
    fleet.lose(0, 12, 5.0)
    come(fleet, 0, 12, 6.0)
    for number in range(12):
        fleet.lose_one(f"a{number}.1", 20.0)
    assert fleet.guard.held(20.0).keys() == {f"a{number}.1" for number in range(12)}


def test_a_loss_beside_a_deployment_is_held_alone() -> None:
    fleet = Fleet(100)
    for number in range(40):
        fleet.come(f"a{number}.1", number * 0.5)
        fleet.lose_one(f"a{number}", number * 0.5 + 5.0)
    fleet.lose(60, 90, 26.0)
    assert fleet.guard.held(26.0).keys() == {f"a{number}" for number in range(60, 90)}


def test_replacements_do_not_make_a_loss_usual() -> None:
    fleet = Fleet(60)
    for minute in range(8):
        for number in range(30, 50):
            at = minute * 60.0 + number
            fleet.come(f"a{number}.{minute}", at)
            old = f"a{number}" if minute == 0 else f"a{number}.{minute - 1}"
            fleet.lose_one(old, at + 0.1)
            fleet.remove(old, at + 0.2)
    fleet.lose(0, 12, 540.0)
    assert fleet.held(540.0) == 12


# --- in a hub ------------------------------------------------------------------------------------


def live(world: World, links: list[FakeLink], seconds: float) -> None:
    """Time passes, and these agents send heartbeats."""
    for _ in range(int(seconds / 20)):
        for link in links:
            link.ask(op="heartbeat")
        world.advance(20)


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_deployment_without_a_goodbye_holds_nothing_at_its_end(order: str) -> None:
    """Twelve of 24 are killed, and twelve of their names and types are started."""
    world = World(Timing(loss_hold=HOLD))
    watcher = world.watcher()
    links = fleet(world, 24)
    world.advance(1)
    if order == "before":
        links += fleet(world, 12)
    vanish(links[:12])
    world.advance(3)
    if order == "after":
        links += fleet(world, 12)
    world.advance(5)
    assert world.supervisor.loss is None
    assert len(world.supervisor.directory) == 36
    kinds(watcher)
    live(world, links[12:], TTL)
    assert kinds(watcher) == ["expired"] * 12
    assert len(world.supervisor.directory) == 24
    assert world.observer.holds == []


def test_what_was_held_is_removed_at_its_time_once_it_has_been_replaced() -> None:
    world = World(Timing(loss_hold=HOLD))
    links = fleet(world, 24)
    vanish(links[:12])
    world.advance(5.1)
    assert world.supervisor.loss is not None
    world.advance(20)
    links += fleet(world, 12)
    world.advance(0.1)
    assert world.supervisor.loss is None
    assert world.observer.holds[-1] is None
    live(world, links[12:], TTL)
    assert len(world.supervisor.directory) == 24


@pytest.mark.parametrize("log_length", [1000, 5])
def test_what_has_been_replaced_is_known_after_a_restart(log_length: int) -> None:
    """With the whole log, and with so little of it that only the records tell."""
    world = World(Timing(loss_hold=HOLD), Limits(log_length=log_length))
    links = fleet(world, 24)
    world.advance(1)
    fleet(world, 12)
    vanish(links[:12])
    world.advance(5.1)
    again = world.restart()
    again.advance(1)
    assert again.supervisor.loss is None


def test_hubs_of_a_cluster_agree_on_who_has_been_replaced() -> None:
    cluster = Cluster("a", "b", "c", timing=Timing(loss_hold=HOLD))
    for number in range(12):
        cluster["b"].agent(f"b{number}")
    cluster.advance(1)
    cluster.kill("b")
    cluster.advance(16.5)
    losses = [hub.supervisor.loss for hub in cluster.hubs.values()]
    assert losses[0] is not None
    for number in range(12):
        cluster["a"].agent(f"b{number}")
    cluster.advance(1)
    assert [hub.supervisor.loss for hub in cluster.hubs.values()] == [None, None]
    cluster.advance(TTL)
    assert all(len(hub.supervisor.directory) == 12 for hub in cluster.hubs.values())
    cluster.agree()
