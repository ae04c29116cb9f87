"""New logs: all hubs end with the same agents, and within a bounded time."""

from __future__ import annotations

from collections.abc import Callable

from actors.ports.store import Away, Opened, Position
from actors.timing import Timing
from tests.support.cluster_world import Cluster, told
from tests.support.records import agent_id
from tests.support.world import World

A, B = agent_id(1), agent_id(2)
SOON = 9.0
"""Seconds in which idle hubs notice, and those that nobody puts back are waited for."""
TIMING = Timing(heartbeat_interval=3.0, heartbeat_timeout=5.0, lease_ttl=8.0, resume_window=1.0)


class Held:
    """A store that answers `open` when the test does."""

    def __init__(self) -> None:
        self.opens: list[tuple[bool, Callable[[Opened], None]]] = []

    def open(self, position: Position, reply: Callable[[Opened], None], *, new_log: bool) -> None:
        self.opens.append((new_log, reply))


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
    world.check_store()
    states = {
        each["name"]: (each["status"], each["health"]["connection"])
        for each in (world.stored(answer["agent_id"]) for answer in (a, b, c))
    }
    assert states == {
        "a0": ("healthy", "websocket"),
        "a1": ("healthy", "lost"),
        "a2": ("unreachable", "lost"),
    }
    assert world.observer.new_logs == ["the store came back empty"]
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
    world.check_store()


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
    assert world.stored(answer["agent_id"])["name"] == "a1"
    assert watcher.events() == []


def test_a_change_finds_its_entry_deleted_and_is_made_all_the_same() -> None:
    world = World()
    link, answer = world.agent()
    watcher = world.watcher()
    del world.store.entries[answer["agent_id"]]
    assert link.ask(op="update", version="2")["op"] == "updated"
    assert world.stored(answer["agent_id"])["version"] == "2"
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
    world.check_store()


# --- what simulations found ----------------------------------------------------------------------


def test_an_agent_that_ran_out_while_its_hub_was_down_is_forgotten_by_all() -> None:
    """The hub is back before its lease lapses: it owns the agent, and knows nothing of it."""
    cluster = Cluster("a", "b", timing=TIMING)
    link, _ = cluster["b"].agent("brief", agent_id=A)
    cluster["a"].agent("stays", agent_id=B)
    link.answers_pings = False
    watcher = cluster["a"].watcher()
    cluster.advance(0.5)
    cluster.kill("b")
    cluster.advance(8.0)
    cluster.start("b")
    cluster.advance(SOON)
    assert not cluster["a"].knows(A)
    cluster.agree()
    assert [each["agents"][0]["name"] for each in watcher.take("snapshot")] == ["stays"]


def test_what_changes_between_loading_and_the_new_log_is_not_missed() -> None:
    cluster = Cluster("a", "b", timing=TIMING)
    brief, _ = cluster["b"].agent("brief", agent_id=A)
    leaves, _ = cluster["a"].agent("leaves", agent_id=B)
    cluster["a"].agent("stays")
    brief.answers_pings = False
    cluster.advance(0.5)
    cluster.kill("b")
    cluster.advance(8.0)
    # It opens the store, loads (a millisecond later) and finds a ghost, and begins a new log.
    at = cluster.scheduler.now() + 0.0015
    cluster.scheduler.call_at(at, lambda: leaves.say(op="unregister", id="u"))
    cluster.start("b")
    cluster.advance(SOON)
    assert leaves.take("unregistered")
    assert not cluster["b"].knows(B)
    cluster.agree()


def test_an_agent_that_is_put_back_by_a_heartbeat_is_an_entry_of_the_new_log() -> None:
    """Its first entry in the new log must reach all hubs, whichever hub was asked."""
    cluster = Cluster("a", "b", "c")
    cluster["a"].http_register("caller", agent_id=A)
    cluster.settle()
    cluster.kill("a")
    cluster.store.lose_everything()
    cluster.advance(1.2)
    assert cluster["c"].http_heartbeat(A).durable
    cluster.advance(SOON)
    assert cluster["b"].knows(A)
    assert cluster["c"].knows(A)
    assert A in cluster.store.entries
    assert any(A.encode() in entry.record for entry in cluster.store.log)
    cluster.agree()


def test_what_may_not_be_put_back_into_a_new_log_is_forgotten_at_once() -> None:
    """It had been removed, in a part of the old log that no hub can read any more."""
    cluster = Cluster("a", "b")
    _, held = cluster["a"].agent("gone", agent_id=A)
    stays, _ = cluster["b"].agent("stays", agent_id=B)
    cluster.settle()
    cluster["a"].port.cut = True
    link, _ = cluster["b"].resume(held)
    link.ask(op="unregister")
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    cluster["a"].port.cut = False
    stays.say(op="heartbeat", id="h")
    before = len(cluster.store.batches)
    cluster.advance(SOON)
    assert not cluster["a"].knows(A)
    assert len(cluster.store.batches) < before + 100, "it does not try for ever"
    cluster.agree()


def test_of_two_sessions_with_one_epoch_the_later_registration_is_the_agents() -> None:
    """The store lost its data, and gave the epoch again; the older session's hub slept."""
    cluster = Cluster("a", "b")
    older, _ = cluster["a"].agent("twice", agent_id=A)
    cluster.settle()
    cluster["a"].scheduler.stop()
    cluster["b"].supervisor.close()
    cluster.kill("b")
    cluster.store.lose_everything()
    cluster.start("b")
    newer, answer = cluster["b"].agent("twice", agent_id=A)
    assert answer["epoch"] == 1
    cluster["a"].scheduler.go_on()
    before = cluster.store.revision
    cluster.advance(SOON)
    assert older.close_code == 4409
    assert newer.close_code is None
    assert cluster["a"].status(A) == ("healthy", "websocket")
    assert cluster.store.revision < before + 20, "no two hubs take turns in writing it"
    cluster.agree()


def test_an_unreachable_agent_whose_verdict_came_from_elsewhere_is_removed_all_the_same() -> None:
    cluster = Cluster("a", "b", timing=TIMING)
    link, _ = cluster["b"].agent("silent", agent_id=A)
    watcher = cluster["a"].watcher()
    cluster["b"].port.cut = True
    link.answers_pings = False
    cluster.advance(13.5)  # b's lease has lapsed, and a has judged the agent
    assert ("status_changed", "silent") in {each[1:] for each in told(watcher)}
    cluster["b"].port.cut = False
    cluster.advance(30)
    assert not cluster["a"].knows(A)
    assert not cluster["b"].knows(A)
    cluster.agree()


def test_loading_that_failed_is_tried_again_although_the_store_takes_changes() -> None:
    """While a commit is under way nothing else may open the store anew: it works, after all."""
    cluster = Cluster("a", "b")
    cluster["b"].http_register(agent_id=A)
    cluster.settle()
    hub, now = cluster["b"], cluster.scheduler.now
    port = hub.port

    def fail(reply: Callable[[Away], None]) -> None:
        del port.load  # type: ignore[attr-defined]
        port.hold("commit")
        hub.supervisor.catch_up(lambda _: None)
        cluster.scheduler.call_at(now() + 0.01, lambda: reply(Away("no answer")))
        cluster.scheduler.call_at(now() + 0.02, lambda: port.release("commit"))

    port.load = fail  # type: ignore[attr-defined]
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    cluster.advance(SOON)
    assert hub.supervisor.not_ready_reasons() == []
    cluster.agree()


def test_of_two_loads_under_way_the_newer_one_counts_and_is_compared_with_the_fold() -> None:
    cluster = Cluster("a", "b")
    cluster["a"].http_register(agent_id=A)
    cluster.settle()
    hub = cluster["b"]
    hub.port.hold("load")
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    assert cluster.until(lambda: hub.port.held("load") == 1, SOON) is not None
    cluster.store.leases["b"].generation = -1  # its next look opens the store again
    assert cluster.until(lambda: hub.port.held("load") == 2, SOON) is not None
    cluster.settle()
    hub.port.release_first("load")
    cluster.settle()
    cluster["a"].http_register(agent_id=B)
    cluster.settle()
    hub.port.release("load")
    cluster.advance(SOON)
    assert hub.knows(B)
    cluster.agree()


def test_a_new_log_that_is_wanted_while_the_store_is_being_opened_is_begun_then() -> None:
    world = World()
    committer, port = world.supervisor.replica.committer, Held()
    committer._opener._store = port  # type: ignore[assignment]
    committer.suspect(Away("no answer"))
    world.advance(0.1)
    committer.begin_new_log("asked for")
    log = committer.log
    port.opens.pop()[1](Opened(log, committer.revision, False, b"s"))
    assert not committer.open
    assert [new_log for new_log, _ in port.opens] == [True]


def test_what_the_store_will_not_have_put_back_is_given_up_after_an_outage_too() -> None:
    """Otherwise it would be put back and refused with every answer of the store, for ever."""
    cluster = Cluster("a", "b")
    _, held = cluster["a"].agent("gone", agent_id=A)
    cluster["b"].agent("stays", agent_id=B)
    cluster.settle()
    hub, watcher = cluster["a"], cluster["a"].watcher()
    hub.port.cut = True
    link, _ = cluster["b"].resume(held)
    link.ask(op="unregister")
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    hub.port.cut = False
    loading = hub.supervisor.replica._resync
    assert cluster.until(lambda: loading.under_way, SOON) is not None
    assert cluster.until(lambda: not loading.under_way, SOON) is not None
    hub.port.cut = True  # before anything is put back, and for longer than that is waited for
    cluster.advance(7)
    hub.port.cut = False
    cluster.advance(SOON)
    before = hub.supervisor.stats().commits
    cluster.advance(1)
    assert hub.supervisor.stats().commits - before < 10
    assert not hub.knows(A)
    assert [each["name"] for each in watcher.take("snapshot")[-1]["agents"]] == ["stays"]
    cluster.agree()


def test_a_closed_hub_loads_no_more() -> None:
    cluster = Cluster("a", "b")
    hub = cluster["b"]
    loads: list[float] = []

    def fail(reply: Callable[[Away], None]) -> None:
        loads.append(cluster.scheduler.now())
        cluster.scheduler.call_soon(lambda: reply(Away("no answer")))

    hub.port.load = fail  # type: ignore[attr-defined]
    cluster.store.log.clear()
    cluster.store.log_name = "another"
    cluster.advance(3)
    assert len(loads) > 2
    hub.supervisor.close()
    before = len(loads)
    cluster.advance(SOON)
    assert len(loads) == before
