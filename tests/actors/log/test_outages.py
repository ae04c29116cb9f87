"""The store away or slow: every request is answered, nothing lost, nothing twice, nothing false."""

from __future__ import annotations

from actors.ports.conditions import Reason
from homeport_protocol.bounds import KINDS
from tests.support.records import SPEC, agent_id
from tests.support.world import FakeLink, World

# --- heartbeats during the outage ----------------------------------------------------------------


def with_canary() -> tuple[World, FakeLink]:
    """A world with one more agent, by whose heartbeat the hub notices an outage.

    So that the agents of the test have nothing under way when they notice; pick never takes it.
    """
    world = World()
    return world, world.agent("canary", type="other", status="degraded")[0]


def test_what_heartbeats_said_meanwhile_is_written_with_one_event() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    world.lose_store(link)
    for number in range(5):
        ack = link.ask(op="heartbeat", status="degraded", load=number, metadata={f"k{number}": 1})
        assert ack["durable"] is False
    assert watcher.events() == []
    world.store.reachable = True
    world.advance(1.5)
    assert watcher.events() == [("status_changed", "a1", "degraded")]
    kept = world.stored(answer["agent_id"])
    assert (kept["status"], kept["load"], len(kept["metadata"])) == ("degraded", 4, 5)
    assert link.ask(op="heartbeat")["durable"] is True
    world.check_store()


def test_what_is_owed_is_written_within_a_second_of_the_return() -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(20)]
    world.lose_store(links[0])
    for link in links:
        link.ask(op="heartbeat", status="degraded")
    world.advance(30)
    world.store.reachable = True
    world.advance(2.0)  # an opening under way may time out first, which takes one second here
    assert {each.record.status for each in world.supervisor.directory._entries.values()} == {
        "degraded"
    }
    world.check_store()


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
    kept = world.stored(answer["agent_id"])
    assert (kept["status"], kept["metadata"]) == ("degraded", {"k": 1})


def test_what_a_heartbeat_said_survives_that_the_entry_before_it_is_missing() -> None:
    world = World()
    link, answer = world.agent()
    del world.store.entries[answer["agent_id"]]
    world.store.latency = 2.5
    link.say(op="heartbeat", id=1)  # will be refused as missing, and made again
    link.say(op="heartbeat", id=2, load=1)  # is acknowledged as not durable, before that
    world.advance(20)
    assert [each["durable"] for each in link.take("heartbeat_ack")] == [False, False]
    assert world.stored(answer["agent_id"])["load"] == 1


def test_what_a_heartbeat_said_survives_an_update_that_failed() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    world.lose_store(canary)
    assert link.ask(op="heartbeat", metadata={"k": 1}, status="degraded")["durable"] is False
    link.say(op="update", id=1, version="2")
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    world.store.reachable = True
    world.advance(2)
    kept = world.stored(answer["agent_id"])
    assert (kept["status"], kept.get("metadata"), kept["version"]) == ("degraded", {"k": 1}, "")


def test_an_update_that_failed_is_not_made_by_the_heartbeat_behind_it() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    world.lose_store(canary)
    link.say(op="update", id=1, version="2")
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    assert link.ask(op="heartbeat", load=1)["durable"] is False
    world.store.reachable = True
    world.advance(2)
    kept = world.stored(answer["agent_id"])
    assert (kept["version"], kept["load"]) == ("", 1)


def test_entries_that_ran_out_are_put_back_though_a_change_had_failed() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    world.lose_store(canary)
    link.say(op="update", id=1, version="2")
    world.advance(70)
    assert world.store.record(answer["agent_id"]) is None
    world.store.reachable = True
    world.advance(2)
    assert world.store.record(answer["agent_id"]) is not None
    world.check_store()


def test_an_http_agent_that_was_unreachable_returns_during_the_outage() -> None:
    world = World()
    lease = world.http_register()
    link, _ = world.agent()
    watcher = world.watcher()
    for _ in range(3):
        world.advance(16)
        link.ask(op="heartbeat")
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.lose_store(link)
    assert world.http_heartbeat(lease.agent_id).durable is False
    world.store.reachable = True
    world.advance(2)
    assert world.record(lease.agent_id)["status"] == "healthy"
    assert ("status_changed", "h1", "healthy") in watcher.events()


def test_nobody_is_judged_until_a_fresh_timeout_after_the_return() -> None:
    world = World()
    link, _answer = world.agent()
    lease = world.http_register()
    world.lose_store(link)
    world.advance(200)
    assert link.close_code is None
    world.store.reachable = True
    world.advance(1.5)
    link.answers_pings = False
    world.advance(42)
    assert world.record(lease.agent_id)["status"] == "healthy"
    world.advance(4)
    assert world.record(lease.agent_id)["status"] == "unreachable"
    world.check_store()


# --- every ask during the outage -----------------------------------------------------------------


def test_a_socket_lost_during_the_outage_is_told_after_it() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    world.lose_store(link)
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
    world.lose_store(canary)
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
    world.check_store()


def test_a_resumption_that_waits_for_the_return_succeeds() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    world.lose_store(canary)
    link.vanish()
    again = world.connect()
    again.say(op="resume", id=1, agent_id=answer["agent_id"], session_token=answer["session_token"])
    world.store.reachable = True
    world.advance(1.9)
    assert again.take("registered")[0]["epoch"] == 2
    assert world.record(answer["agent_id"])["health"]["connection"] == "websocket"
    world.check_store()


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
    world.check_store()


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
    world.check_store()


def test_unregistering_fails_and_the_agent_stays() -> None:
    world, canary = with_canary()
    link, answer = world.agent()
    world.lose_store(canary)
    link.say(op="unregister", id=1)
    world.advance(2.2)
    assert link.take("error")[0]["code"] == "unavailable"
    assert link.close_code is None
    world.store.reachable = True
    world.advance(2)
    assert answer["agent_id"] in world.supervisor.directory
    assert link.ask(op="heartbeat")["durable"] is True
    world.check_store()


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
    world.check_store()


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
    world.check_store()


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
    world.check_store()


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
    world.lose_store(link)
    assert link.ask(op="get", agent_id=answer["agent_id"])["op"] == "agent"
    assert link.ask(op="pick")["op"] == "agent"
    assert link.ask(op="watch")["op"] == "watching"
    (reason,) = world.supervisor.not_ready_reasons()
    assert reason == Reason("store_away", "Redis: no answer")
    assert world.observer.outages == ["no answer"]
    world.store.reachable = True
    world.advance(2)
    assert world.supervisor.not_ready_reasons() == []
    assert world.observer.returns[-1] == (world.supervisor.log, False)


def test_a_storm_after_the_return_is_no_storm_of_events() -> None:
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(50)]
    watcher = world.watcher()
    world.lose_store(links[0])
    for link in links:
        link.ask(op="heartbeat")
    world.store.reachable = True
    world.advance(2)
    assert watcher.events() == []
    assert world.log_kinds() == ["registered"] * 50


def test_what_heartbeats_say_while_the_store_is_away_counts_as_pending() -> None:
    """Whether it went away with a change under way, or while nobody had anything to write."""
    world = World()
    links = [world.agent(f"a{number}")[0] for number in range(3)]
    world.store.reachable = False
    world.advance(4)  # the hub's lease cannot be renewed: nothing of an agent is under way
    assert world.supervisor.store_is_away
    assert world.supervisor.stats().pending_changes == 0
    for link in links[:2]:
        for _ in range(3):
            assert link.ask(op="heartbeat", status="degraded")["durable"] is False
    assert world.supervisor.stats().pending_changes == 2
    links[2].vanish()
    world.advance(0.1)
    assert world.supervisor.stats().pending_changes == 3
    world.advance(80)
    assert world.supervisor.stats().pending_changes == 3
    world.store.reachable = True
    world.advance(3)
    assert world.supervisor.stats().pending_changes == 0


def test_an_ask_is_refused_with_the_reason_why_the_store_is_away() -> None:
    world = World()
    link, _ = world.agent()
    world.store.reachable = False
    world.advance(4)
    newcomer = world.connect()
    link.say(op="update", id=1, version="2")
    newcomer.say(op="register", id=1, agent={"name": "b", "type": "cost"})
    world.advance(4)
    for refusal in (*link.take("error"), *newcomer.take("error")):
        assert (refusal["code"], refusal.get("outcome")) == ("unavailable", None)
        assert refusal["message"] == "no answer; nothing was changed"


def test_only_the_events_that_this_hub_wrote_are_counted() -> None:
    first = World()
    second = World(store=first.store, seed=1, hub_id="hub-2")
    first.advance(2.5)
    link, _ = first.agent("a1")
    link.ask(op="heartbeat", status="degraded")
    link.ask(op="update", version="2")
    link.ask(op="unregister")
    lost, _ = second.agent("b1")
    lost.vanish()
    first.advance(130)
    assert first.supervisor.stats().events == {
        **dict.fromkeys(KINDS, 0),
        **{"registered": 1, "status_changed": 1, "updated": 1, "unregistered": 1},
    }
    theirs = second.supervisor.stats()
    assert theirs.events == {
        **dict.fromkeys(KINDS, 0),
        **{"registered": 1, "lost": 1, "status_changed": 1, "expired": 1},
    }
    assert (theirs.changes, theirs.expired) == (4, 1)
