"""The store away, slow, empty or late: nothing lost, nothing twice, nothing false."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.ports.store import LogEntry
from actors.rules.records import complete, head_of
from homeport_protocol.record import Health
from tests.support.records import agent_id, record
from tests.support.world import FakeLink, ModelStore, VirtualScheduler, World

SPEC = {"name": "a1", "type": "cost"}


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in world.store.log]


def stored(world: World, agent: dict[str, Any]) -> dict[str, Any]:
    """The stored record, which must be what everyone is shown."""
    data = world.store.entries[agent["agent_id"]][0]
    assert data == world.supervisor.get(agent["agent_id"])
    return msgspec.json.decode(data)


def consistent(world: World) -> None:
    world.store.expire()
    ids = set(world.supervisor.directory.ids())
    assert world.store.active == ids
    assert set(world.store.entries) == ids
    assert set(world.supervisor.population.agents) == ids
    for each in ids:
        assert world.store.entries[each][0] == world.supervisor.get(each)


# --- a batch whose answer never came -------------------------------------------------------------


@pytest.mark.parametrize("held", [0.5, 0.99, 5.0])
def test_a_batch_that_hangs_is_applied_once_whenever_it_arrives(held: float) -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(3)]
    watcher = world.watcher()
    world.store.hold_next_commit = held
    for link in links:
        link.say(op="update", id=1, version="2")
    world.advance(10)
    for link in links:
        (answer,) = link.take("updated")
        assert answer["revision"] > 3
    assert kinds(world) == ["registered"] * 3 + ["updated"] * 3
    assert sorted(watcher.events()) == [("updated", f"a{number}", "healthy") for number in range(3)]
    consistent(world)


def test_part_of_a_batch_may_be_known_and_part_not() -> None:
    """Renewals are not in the log: only they are sent again."""
    world = World()
    (one, _), (other, answer) = world.agent("a1"), world.agent("a2")
    world.store.swallow_answers = 1
    one.say(op="update", id=1, version="2")
    other.say(op="heartbeat", id=1)
    world.advance(3)
    assert len(one.take("updated")) == 1
    assert len(other.take("heartbeat_ack")) == 1
    assert kinds(world).count("updated") == 1
    assert world.store.record(answer["agent_id"]) is not None
    consistent(world)


def test_the_answer_to_reading_the_log_may_be_lost_as_well() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.swallow_answers = 3
    link.say(op="update", id=1, version="2")
    world.advance(10)
    # By then the asker had been told that it failed: so it is taken back.
    assert link.take("error")[0]["code"] == "unavailable"
    assert kinds(world) == ["registered", "updated", "updated"]
    assert watcher.events() == [("updated", "a1", "healthy")] * 2
    assert link.ask(op="find")["agents"][0]["version"] == ""
    consistent(world)


def test_a_generation_that_was_replaced_loses_nothing() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.leases.clear()
    link.say(op="update", id=1, version="2")
    world.advance(1)
    assert link.take("updated")[0]["revision"] == 2
    assert kinds(world) == ["registered", "updated"]
    assert watcher.events() == [("updated", "a1", "healthy")]
    assert world.supervisor.not_ready_reasons() == []
    consistent(world)


def test_a_batch_that_was_under_way_when_the_store_lost_its_data_is_in_the_new_log() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    world.store.hold_next_commit = 0.5
    link.say(op="update", id=1, version="2")
    world.advance(0.1)
    world.store.lose_everything()
    world.advance(5)
    assert len(link.take("updated")) == 1
    assert world.record(answer["agent_id"])["version"] == "2"
    assert stored(world, answer)["version"] == "2"
    (snapshot,) = watcher.take("snapshot")
    assert snapshot["log"] == world.supervisor.log
    consistent(world)


def test_a_new_log_is_told_even_when_the_answer_that_named_it_was_lost() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    world.store.lose_everything()
    world.store.swallow_answers = 0
    link.say(op="heartbeat", id=1)
    world.advance(0.04)  # the batch is refused; the next question is the opening
    world.store.swallow_answers = 1
    world.advance(5)
    assert world.supervisor.log == world.store.log_name
    (snapshot,) = watcher.take("snapshot")
    assert snapshot["log"] == world.supervisor.log
    consistent(world)


def test_a_log_that_was_lost_before_it_was_read_on_is_not_taken_for_read() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    told = [world.supervisor.revision]
    world.store.hold_next_commit = 0.5
    world.store.latency = 0.5
    link.say(op="update", id=1, version="2")
    world.advance(1.3)  # the opening has seen the update in the log
    world.store.lose_everything()
    for _ in range(100):
        world.advance(0.1)
        told += [each["revision"] for each in watcher.take("event") + watcher.take("snapshot")]
        if world.supervisor.log == "log-1":
            assert world.supervisor.revision == max(told), "nothing is skipped"
    assert world.supervisor.log == world.store.log_name != "log-1"
    assert world.supervisor.revision == max(told)
    consistent(world)


# --- the store is empty --------------------------------------------------------------------------


def test_an_empty_store_gets_lost_and_unreachable_agents_back_too() -> None:
    world = World()
    (connected, a), (lost, b), (unreachable, c) = (world.agent(f"a{n}") for n in range(3))
    unreachable.vanish()
    world.advance(6)
    lost.vanish()
    watcher = world.watcher()
    world.store.lose_everything()
    connected.say(op="heartbeat", id=1)
    world.advance(1)
    consistent(world)
    states = {
        each["name"]: (each["status"], each["health"]["connection"])
        for each in (stored(world, answer) for answer in (a, b, c))
    }
    assert states == {
        "a0": ("healthy", "websocket"),
        "a1": ("healthy", "lost"),
        "a2": ("unreachable", "lost"),
    }
    (snapshot,) = watcher.take("snapshot")
    assert sorted((each["name"], each["status"]) for each in snapshot["agents"]) == [
        ("a0", "healthy"),
        ("a1", "healthy"),
        ("a2", "unreachable"),
    ]
    assert snapshot["revision"] == world.supervisor.revision
    assert watcher.events() == []
    world.advance(300)
    assert world.supervisor.directory.ids() == [a["agent_id"]]
    consistent(world)


def test_revisions_and_epochs_never_go_back_when_the_data_is_lost() -> None:
    world = World()
    link, answer = world.agent()
    link.vanish()
    resumed = world.connect()
    token = {"agent_id": answer["agent_id"], "session_token": answer["session_token"]}
    assert resumed.ask(op="resume", **token)["epoch"] == 2
    revision = world.supervisor.revision
    world.store.lose_everything()
    resumed.say(op="heartbeat", id=1)
    world.advance(1)
    assert world.supervisor.revision > revision
    third = world.connect().ask(op="resume", **token)
    assert third["epoch"] == 3
    assert third["resumed"] is True


def test_an_entry_that_was_deleted_is_put_back_by_the_next_heartbeat() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    del world.store.entries[answer["agent_id"]]
    assert link.ask(op="heartbeat")["durable"] is True
    assert stored(world, answer)["name"] == "a1"
    assert watcher.events() == []


def test_a_change_finds_its_entry_deleted_and_is_made_all_the_same() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    del world.store.entries[answer["agent_id"]]
    assert link.ask(op="update", version="2")["op"] == "updated"
    assert stored(world, answer)["version"] == "2"
    assert watcher.events() == [("updated", "a1", "healthy")]


def test_a_resumption_finds_its_entry_deleted_and_raises_the_epoch_all_the_same() -> None:
    world = World()
    link, answer = world.agent()
    link.vanish()
    watcher = world.watcher()
    del world.store.entries[answer["agent_id"]]
    resumed = world.connect().ask(
        op="resume", agent_id=answer["agent_id"], session_token=answer["session_token"]
    )
    assert (resumed["epoch"], resumed["resumed"]) == (2, True)
    assert watcher.events() == [("resumed", "a1", "healthy")]
    consistent(world)


# --- heartbeats during the outage ----------------------------------------------------------------


def with_canary() -> tuple[World, FakeLink]:
    """A world with one more agent, by whose heartbeat the hub notices an outage.

    So that the agents of the test have nothing under way when they notice; pick never takes it.
    """
    world = World()
    return world, world.agent("canary", type="other", status="degraded")[0]


def outage(world: World, link: FakeLink) -> None:
    """The store goes away, and the hub has noticed by a heartbeat of that link."""
    world.store.reachable = False
    link.say(op="heartbeat", id="notice")
    world.advance(2.2)
    assert world.supervisor.store_is_away
    link.sent.clear()


def test_what_heartbeats_said_meanwhile_is_written_with_one_event() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    outage(world, link)
    for number in range(5):
        ack = link.ask(op="heartbeat", status="degraded", load=number, metadata={f"k{number}": 1})
        assert ack["durable"] is False
    assert watcher.events() == []
    world.store.reachable = True
    world.advance(1.5)
    assert watcher.events() == [("status_changed", "a1", "degraded")]
    kept = stored(world, answer)
    assert (kept["status"], kept["load"], len(kept["metadata"])) == ("degraded", 4, 5)
    assert link.ask(op="heartbeat")["durable"] is True
    consistent(world)


def test_what_is_owed_is_written_within_a_second_of_the_return() -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(20)]
    outage(world, links[0])
    for link in links:
        link.ask(op="heartbeat", status="degraded")
    world.advance(30)
    world.store.reachable = True
    world.advance(2.0)  # an opening under way may time out first, which takes one second here
    assert {each.record.status for each in world.supervisor.directory._entries.values()} == {
        "degraded"
    }
    consistent(world)


def test_a_heartbeat_that_waited_when_the_store_went_away_is_owed_too() -> None:
    world = World()
    link, answer = world.agent()
    world.store.reachable = False
    link.say(op="heartbeat", id=1)
    world.advance(0.1)
    link.say(op="heartbeat", id=2, status="degraded", metadata={"k": 1})
    world.advance(2.5)
    assert [(each["id"], each["durable"]) for each in link.take("heartbeat_ack")] == [
        (1, False),
        (2, False),
    ]
    world.store.reachable = True
    world.advance(2)
    kept = stored(world, answer)
    assert (kept["status"], kept["metadata"]) == ("degraded", {"k": 1})


def test_what_a_heartbeat_said_survives_that_the_entry_before_it_is_missing() -> None:
    world = World()
    link, answer = world.agent()
    del world.store.entries[answer["agent_id"]]
    world.store.latency = 2.5
    link.say(op="heartbeat", id=1)  # will be refused as missing, and made again
    link.say(op="heartbeat", id=2, load=1)  # is told that it was heard, before that
    world.advance(20)
    assert [each["durable"] for each in link.take("heartbeat_ack")] == [False, False]
    assert stored(world, answer)["load"] == 1


def test_what_a_heartbeat_said_survives_an_update_that_failed() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    outage(world, canary)
    assert link.ask(op="heartbeat", metadata={"k": 1}, status="degraded")["durable"] is False
    link.say(op="update", id=1, version="2")
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    world.store.reachable = True
    world.advance(2)
    kept = stored(world, answer)
    assert (kept["status"], kept.get("metadata"), kept["version"]) == ("degraded", {"k": 1}, "")


def test_an_update_that_failed_is_not_made_by_the_heartbeat_behind_it() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    outage(world, canary)
    link.say(op="update", id=1, version="2")
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    assert link.ask(op="heartbeat", load=1)["durable"] is False
    world.store.reachable = True
    world.advance(2)
    kept = stored(world, answer)
    assert (kept["version"], kept["load"]) == ("", 1)


def test_entries_that_ran_out_are_put_back_though_a_change_had_failed() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    outage(world, canary)
    link.say(op="update", id=1, version="2")
    world.advance(70)
    assert world.store.record(answer["agent_id"]) is None
    world.store.reachable = True
    world.advance(2)
    assert world.store.record(answer["agent_id"]) is not None
    consistent(world)


def test_an_http_agent_that_was_unreachable_returns_during_the_outage() -> None:
    world = World()
    lease = world.http_register()
    link, _ = world.agent()
    watcher = world.watcher()
    for _ in range(3):
        world.advance(16)
        link.ask(op="heartbeat")
    assert world.record(lease.agent_id)["status"] == "unreachable"
    outage(world, link)
    assert world.http_heartbeat(lease.agent_id).durable is False
    world.store.reachable = True
    world.advance(2)
    assert world.record(lease.agent_id)["status"] == "healthy"
    assert ("status_changed", "h1", "healthy") in watcher.events()


def test_nobody_is_judged_until_a_fresh_timeout_after_the_return() -> None:
    world = World()
    link, _answer = world.agent()
    lease = world.http_register()
    outage(world, link)
    world.advance(200)
    assert link.close_code is None
    world.store.reachable = True
    world.advance(1.5)
    link.answers_pings = False
    world.advance(42)
    assert world.record(lease.agent_id)["status"] == "healthy"
    world.advance(4)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    consistent(world)


# --- every ask during the outage -----------------------------------------------------------------


def test_a_socket_lost_during_the_outage_is_told_after_it() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    outage(world, link)
    link.vanish()
    world.advance(30)
    world.store.reachable = True
    world.advance(2)
    assert watcher.events() == [("lost", "a1", "healthy")]
    world.advance(42)
    assert world.record(answer["agent_id"])["status"] == "healthy"
    world.advance(4)
    assert world.record(answer["agent_id"])["status"] == "unreachable"


def test_one_that_is_lost_behind_a_change_that_hangs_is_not_picked() -> None:
    world = World()
    link, _ = world.agent()
    caller = world.connect()
    world.store.latency = 1.0
    link.say(op="heartbeat", id=1)
    world.settle()
    link.vanish()
    assert caller.ask(op="pick")["code"] == "no_match"


def test_a_resumption_that_failed_leaves_the_agent_lost() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    watcher = world.watcher()
    outage(world, canary)
    link.vanish()
    again = world.connect()
    token = {"agent_id": answer["agent_id"], "session_token": answer["session_token"]}
    again.say(op="resume", id=1, **token)
    world.advance(2.2)
    assert again.take("error")[0]["code"] == "unavailable"
    world.store.reachable = True
    world.advance(2)
    assert world.record(answer["agent_id"])["health"]["connection"] == "lost"
    assert watcher.events() == [("lost", "a1", "healthy")]
    assert again.ask(op="resume", **token)["resumed"] is True
    assert watcher.events() == [("resumed", "a1", "healthy")]
    consistent(world)


def test_a_resumption_that_waits_for_the_return_succeeds() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    outage(world, canary)
    link.vanish()
    again = world.connect()
    again.say(op="resume", id=1, agent_id=answer["agent_id"], session_token=answer["session_token"])
    world.store.reachable = True
    world.advance(1.9)
    assert again.take("registered")[0]["epoch"] == 2
    assert world.record(answer["agent_id"])["health"]["connection"] == "websocket"
    consistent(world)


def test_a_registration_is_tried_again_on_the_same_connection() -> None:
    world = World()
    link = world.connect()
    world.store.reachable = False
    for number in range(3):
        link.say(op="register", id=number, agent_id=agent_id(1), agent=SPEC)
        world.advance(2.2)
        (error,) = link.take("error")
        assert (error["id"], error["code"], error["retryable"]) == (number, "unavailable", True)
        assert error["retry_after"] > 0
    world.store.reachable = True
    world.advance(2)
    assert len(world.supervisor.directory) == 0
    assert link.ask(op="register", agent_id=agent_id(1), agent=SPEC)["op"] == "registered"
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    consistent(world)


def test_a_registration_that_was_given_up_and_applied_makes_way_for_the_next() -> None:
    world = World()
    link = world.connect()
    world.store.swallow_answers = 3
    link.say(op="register", id=1, agent_id=agent_id(1), agent=SPEC)
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    link.say(op="register", id=2, agent_id=agent_id(1), agent=SPEC)
    world.advance(10)
    (answer,) = link.take("registered")
    assert answer["id"] == 2
    assert world.record(agent_id(1))["health"]["connection"] == "websocket"
    assert link.ask(op="heartbeat")["durable"] is True
    assert link.close_code is None
    consistent(world)


def test_unregistering_fails_and_the_agent_stays() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    outage(world, canary)
    link.say(op="unregister", id=1)
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    assert link.close_code is None
    world.store.reachable = True
    world.advance(2)
    assert answer["agent_id"] in world.supervisor.directory
    assert link.ask(op="heartbeat")["durable"] is True
    consistent(world)


def test_unregistering_over_http_fails_too() -> None:
    world = World()
    lease = world.http_register()
    world.store.reachable = False
    assert world.http_unregister(lease.agent_id).code == "unavailable"
    assert world.http_register("h2").code == "unavailable"
    assert world.http_heartbeat(lease.agent_id).durable is False
    world.store.reachable = True
    world.advance(2)
    assert world.http_unregister(lease.agent_id).durable is True
    consistent(world)


def test_an_expiry_under_way_when_the_store_went_away_comes_to_its_end() -> None:
    world = World()
    link, _ = world.agent()
    watcher = world.watcher()
    link.vanish()
    world.advance(65.04)
    world.store.reachable = False
    world.advance(10)
    world.store.reachable = True
    world.advance(60)
    assert [kind for kind, _, _ in watcher.events()][-1] == "expired"
    assert len(world.supervisor.directory) == 0
    consistent(world)


def test_a_heartbeat_while_its_expiry_hangs_is_answered_and_crashes_nothing() -> None:
    world = World()
    lease = world.http_register()
    world.advance(45.02)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.advance(59.9)
    world.store.reachable = False
    world.advance(3)
    assert world.supervisor.store_is_away
    outcome = world.http_heartbeat(lease.agent_id)
    assert getattr(outcome, "code", "") in ("", "not_found", "unavailable")
    world.store.reachable = True
    world.advance(5)
    consistent(world)


def test_a_slow_store_makes_nobody_wait_longer_than_two_seconds() -> None:
    world = World()
    link, _ = world.agent()
    world.store.latency = 1.5
    for number in range(5):
        link.say(op="update", id=number, version=str(number))
    world.advance(2.3)
    assert len(link.take("updated")) == 1
    assert [each["code"] for each in link.take("error")] == ["unavailable"] * 4


def test_reads_go_on_and_readiness_tells() -> None:
    world = World()
    link, answer = world.agent()
    outage(world, link)
    assert link.ask(op="get", agent_id=answer["agent_id"])["op"] == "agent"
    assert link.ask(op="pick")["op"] == "agent"
    assert link.ask(op="watch")["op"] == "watching"
    (reason,) = world.supervisor.not_ready_reasons()
    assert "Redis" in reason
    assert world.observer.outages == ["no answer"]
    world.store.reachable = True
    world.advance(2)
    assert world.supervisor.not_ready_reasons() == []
    assert world.observer.returns[-1] == (world.supervisor.log, False)


def test_a_storm_after_the_return_is_no_storm_of_events() -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(50)]
    watcher = world.watcher()
    outage(world, links[0])
    for link in links:
        link.ask(op="heartbeat")
    world.store.reachable = True
    world.advance(2)
    assert watcher.events() == []
    assert kinds(world) == ["registered"] * 50


# --- stopping ------------------------------------------------------------------------------------


def test_draining_writes_for_everyone_that_the_hub_lets_go() -> None:
    world = World()
    _, answer = world.agent()
    lease = world.http_register()
    watcher = world.watcher()
    world.supervisor.drain()
    assert not world.supervisor.settled
    world.settle()
    assert world.supervisor.settled
    health = stored(world, answer)["health"]
    assert (health["connection"], health["reason"]) == ("lost", "draining")
    assert world.record(lease.agent_id)["health"]["connection"] == "http"
    assert watcher.events() == [("lost", "a1", "healthy")]
    assert world.connect().ask(op="register", agent=SPEC)["code"] == "unavailable"
    assert world.http_register("h2").code == "unavailable"
    assert "the hub is stopping" in world.supervisor.not_ready_reasons()


def test_a_heartbeat_while_draining_is_not_told_of_a_newer_session() -> None:
    world = World()
    link, _ = world.agent()
    world.supervisor.drain()
    world.settle()
    answer = link.ask(op="heartbeat")
    assert answer.get("code") != "fenced", "the client would believe that it was replaced"
    assert link.close_code != 4409


def test_draining_while_the_store_is_away_does_not_wait_for_it() -> None:
    world = World()
    link, _ = world.agent()
    outage(world, link)
    world.supervisor.drain()
    world.settle()
    assert world.supervisor.settled


def test_closing_answers_what_waits() -> None:
    world = World()
    link, _ = world.agent()
    outage(world, link)
    link.say(op="update", id=1, version="2")
    other = world.connect()
    other.say(op="register", id=2, agent=SPEC)
    world.advance(0.1)
    world.supervisor.close()
    world.advance(3)
    assert [each["code"] for each in link.take("error")] == ["unavailable"]
    assert [each["code"] for each in other.take("error")] == ["unavailable"]


# --- beginning -----------------------------------------------------------------------------------


def prepared(*, log: str = "log-0", revision: int = 0) -> ModelStore:
    store = ModelStore(VirtualScheduler())
    store.log_name, store.revision = log, revision
    return store


def put(store: ModelStore, data: bytes, key: str, epoch: int = 0, ttl: float = 60.0) -> None:
    store.entries[key] = (data, epoch, store.scheduler.now() + ttl)
    store.active.add(key)


def put_record(store: ModelStore, number: int, **fields: Any) -> str:
    each = record(number, epoch=1, hub="hub-1", **fields)
    data = complete(head_of(each), 1, "hub-1", each.revision)
    put(store, data, each.id, epoch=1)
    return each.id


def test_ghosts_are_dropped_and_no_watch_goes_on_as_if_it_knew() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    world = World(store=store)
    assert store.active == {agent_id(1)}
    assert world.supervisor.directory.ids() == [agent_id(1)]
    assert world.supervisor.log not in ("", "log-0")
    link = world.connect()
    assert link.ask(op="watch", since=7, log="log-0")["resumed"] is False
    assert world.supervisor.revision >= 7
    consistent(world)


def test_ghosts_are_dropped_though_the_store_goes_away_in_between() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    store.latency = 0.03
    world = World(store=store)
    assert not world.supervisor.ready
    store.reachable = False  # it has dropped the ghosts; the answer is on its way
    world.advance(5)
    store.reachable = True
    world.advance(5)
    assert world.supervisor.ready
    assert store.active == {agent_id(1)}
    assert world.supervisor.log not in ("", "log-0")
    consistent(world)


def test_ghosts_are_told_of_though_the_answer_that_named_them_was_lost() -> None:
    store = prepared(revision=7)
    put_record(store, 1, revision=7)
    store.active.add(agent_id(9))
    store.latency = 0.03
    store.scheduler.call_at(
        store.scheduler.now() + 0.02, lambda: setattr(store, "swallow_answers", 1)
    )
    world = World(store=store)
    world.advance(5)
    assert world.supervisor.ready
    assert store.active == {agent_id(1)}
    assert world.connect().ask(op="watch", since=7, log="log-0")["resumed"] is False
    consistent(world)


LEGACY = {
    "id": agent_id(3),
    "name": "old",
    "type": "cost",
    "host": "h",
    "port": 80,
    "capabilities": None,
    "status": "degraded",
    "version": "1",
    "registered_at": "2026-01-01T00:00:00.123456789+02:00",
    "last_seen": "2026-01-01T00:00:00Z",
    "metadata": {"k": "v"},
}


def test_legacy_records_are_adopted_and_logged_as_registered() -> None:
    store = prepared(revision=4)
    put(store, msgspec.json.encode(LEGACY), LEGACY["id"])  # type: ignore[arg-type]
    world = World(store=store)
    agent = world.record(agent_id(3))
    assert agent["registered_at"] == "2025-12-31T22:00:00.123457Z" or agent[
        "registered_at"
    ].startswith("2025-12-31T22:00:00.12345")
    assert agent["capabilities"] == []
    assert (agent["status"], agent["health"]["connection"]) == ("degraded", "http")
    assert (agent["epoch"], agent["revision"]) == (1, 5)
    assert [(entry.kind, entry.revision) for entry in store.log] == [("registered", 5)]
    consistent(world)
    assert world.http_heartbeat(agent_id(3)).durable is True
    link = world.connect()
    assert link.ask(op="register", agent_id=agent_id(3), agent=SPEC)["epoch"] == 2


def test_a_record_that_cannot_be_read_is_left_alone_and_reported() -> None:
    store = prepared()
    put(store, b"\xff not a record", agent_id(1))
    put(store, b'{"id":7}', agent_id(2))
    put(store, b"[" * 5000, agent_id(4))
    good = put_record(store, 5, revision=0)
    before = store.entries[agent_id(1)]
    world = World(store=store)
    assert world.supervisor.directory.ids() == [good]
    assert len(world.observer.unreadable_records) == 3
    assert store.entries[agent_id(1)] == before


@pytest.mark.parametrize("field", ["since", "registered_at", "last_seen"])
def test_a_record_with_a_time_that_is_none_does_not_keep_the_hub_from_starting(
    field: str,
) -> None:
    store = prepared()
    if field == "since":
        put_record(store, 1, health=Health("http", "healthy", "ok", "yesterday"))
    else:
        put(store, msgspec.json.encode({**LEGACY, field: "yesterday"}), agent_id(1))
    good = put_record(store, 5)
    world = World(store=store)
    assert world.supervisor.ready
    assert good in world.supervisor.directory


def test_loading_is_tried_again_until_it_succeeds() -> None:
    store = prepared()
    good = put_record(store, 1)
    store.fail_loads = 5
    world = World(store=store)
    assert not world.supervisor.ready
    assert world.supervisor.not_ready_reasons()
    assert world.connect().session is not None
    world.advance(5)
    assert world.supervisor.ready
    assert world.supervisor.directory.ids() == [good]
    world.advance(2)
    assert len(world.supervisor.population.agents) == 1


def test_an_entry_of_the_log_that_cannot_be_read_ends_what_is_known_of_it() -> None:
    store = prepared(revision=3)
    put_record(store, 1, revision=3)
    data = store.entries[agent_id(1)][0]
    store.log = [
        LogEntry(1, "registered", data, ""),
        LogEntry(2, "updated", b"{", ""),
        LogEntry(3, "updated", data, ""),
    ]
    world = World(store=store)
    assert world.supervisor.ready
    assert world.connect().ask(op="watch", since=1, log="log-0")["resumed"] is False
    assert world.connect().ask(op="watch", since=2, log="log-0")["resumed"] is True


def test_what_a_restarted_hub_found_stays_in_the_store_as_long_as_it_is_listed() -> None:
    world = World()
    polling = world.http_register("polling")
    link, lost = world.agent("lost")
    link.vanish()
    world.advance(4)
    for _ in range(8):
        world.advance(5)  # nearly a heartbeat_timeout of silence, then the hub dies
        if world.scheduler.now() > 1043:
            break
    world = world.restart()
    for _ in range(40):
        world.advance(1)
        world.store.expire()
        listed = {
            each
            for each in (polling.agent_id, lost["agent_id"])
            if each in world.supervisor.directory
        }
        assert listed == world.store.active == set(world.store.entries)


def test_a_restarted_hub_keeps_the_unreachable_ones_no_longer_than_their_lease() -> None:
    world = World()
    lease = world.http_register()
    world.advance(50)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world = world.restart()
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.advance(56)
    assert lease.agent_id not in world.supervisor.directory
    assert [entry.kind for entry in world.store.log][-1] == "expired"
    consistent(world)
