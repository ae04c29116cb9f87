"""The lives of several agents on one hub against a naive model of the contract (hypothesis).

Whatever agents, callers, the store and the hub itself do, in any order:

- what a watcher was told, folded, is the directory, also after it reconnected with `since`;
- revisions in the log have no gap, epochs only rise;
- nobody is unreachable early, nobody stays visible late, nobody that was acknowledged is missing;
- what was acknowledged as durable is in the store, and what is owed gets there;
- every request is answered once and in order;
- a calm hub has written everything, and when all fall silent nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import UNSET

from actors.rules.permissions import ANYBODY
from homeport_protocol.record import AgentSpec
from tests.actors.agent.model_peers import NEVER, Ask, Known, Watcher, since
from tests.support.world import FakeLink, World

AGENTS = 4
NUMBERS = st.integers(0, AGENTS - 1)
CALM = 4.0
"""Seconds after which trouble with the store is over for good: its time limits, twice."""
SLACK = 0.3
LATEST_ANSWER = 2.5


class LivesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.store = self.world.store
        self.agents = [Known(number) for number in range(AGENTS)]
        self.asks: dict[FakeLink, list[tuple[int, Ask]]] = {}
        self.http: list[Ask] = []
        self.inbox: list[tuple[FakeLink | Ask, Any]] = []
        self.count = 0
        self.trouble_at = self.unready_at = NEVER
        self.absences: list[float] = []  # when each absence of the hub ended
        self.lost_data = False
        self.watcher = Watcher()
        self.watch_anew()

    # --- asking and hearing ------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.world.scheduler.now()

    def say(self, link: FakeLink, ask: Ask, **message: Any) -> None:
        self.count += 1
        self.asks.setdefault(link, []).append((self.count, ask))
        ask.agent.spoke_at = self.now
        link.say(op=ask.op, id=self.count, **message)

    def connect(self) -> FakeLink:
        """A link whose answers come to the inbox, which keeps the order of them all."""
        link = self.world.connect()
        send = link.send

        def sending(payload: bytes) -> None:
            send(payload)
            if link.sent:
                self.inbox.append((link, link.sent.pop()))

        link.send = sending  # type: ignore[method-assign]
        return link

    def over_http(self, ask: Ask) -> Callable[[Any], None]:
        ask.agent.spoke_at = self.now
        self.http.append(ask)
        inbox = self.inbox
        return lambda outcome: inbox.append((ask, outcome))

    def hear(self) -> None:
        """Take in every answer and event that has come, in that order."""
        for asker, answer in self.inbox:
            if isinstance(asker, Ask):
                self.http.remove(asker)  # raises when it was answered before
                asker.agent.answered_over_http(asker, answer, lost_data=self.lost_data)
            else:
                number, ask = self.asks[asker].pop(0)
                assert answer["id"] == number, "answered in order"
                self.answered(ask, asker, answer)
        self.inbox.clear()
        self.watcher.fold(self.check_event)

    def answered(self, ask: Ask, link: FakeLink, answer: dict[str, Any]) -> None:
        agent = ask.agent
        agent.answered(ask, answer, lost_data=self.lost_data)
        if answer["op"] == "error" and ask.op in ("register", "resume") and agent.link is link:
            agent.link = None

    # --- the watcher -------------------------------------------------------------------------

    def watch_anew(self) -> None:
        self.watcher.begin(self.world.connect())

    def check_event(self, event: dict[str, Any]) -> None:
        agent, kind = event["agent"], event["kind"]
        if kind == "expired":
            assert agent["status"] == "unreachable"
            assert self.now >= since(agent) + self.world.timing.lease_ttl - 0.001
        if kind == "status_changed" and agent["status"] == "unreachable":
            known = next(each for each in self.agents if each.id == agent["id"])
            known.check_unreachable(agent, self.world.timing, self.absences)

    # --- what agents do ----------------------------------------------------------------------

    @initialize(ways=st.lists(st.sampled_from(["ws", "http", "none"]), min_size=4, max_size=4))
    def some_are_there(self, ways: list[str]) -> None:
        for number, way in enumerate(ways):
            if way == "ws":
                self.register(number, "1")
            elif way == "http":
                self.register_over_http(number)
        self.world.settle()

    @rule(number=NUMBERS, version=st.sampled_from(["1", "2"]))
    def register(self, number: int, version: str) -> None:
        agent = self.agents[number]
        link = self.connect()
        spec = {"name": f"a{number}", "type": "cost", "version": version}
        ask = Ask(agent, "register", self.now, version=version)
        self.let_go(agent)
        agent.link = link
        self.say(link, ask, agent_id=agent.id, agent=spec)

    @rule(number=NUMBERS)
    def register_over_http(self, number: int) -> None:
        agent = self.agents[number]
        self.let_go(agent)
        spec = msgspec.convert({"name": f"a{number}", "type": "cost", "version": "h"}, AgentSpec)
        reply = self.over_http(Ask(agent, "register", self.now, version="h"))
        self.world.supervisor.register(spec, agent.id, reply, principal=ANYBODY)

    def let_go(self, agent: Known) -> None:
        """A newer session begins; the hub will close the older one."""
        agent.link = None

    @rule(number=NUMBERS, load=st.none() | st.integers(0, 5))
    def beat(self, number: int, load: int | None) -> None:
        agent = self.agents[number]
        if agent.link is None or agent.link.close_code is not None:
            return
        says: dict[str, Any] = {} if load is None else {"load": float(load)}
        self.say(agent.link, Ask(agent, "heartbeat", self.now, **says), **says)

    @rule(number=NUMBERS)
    def beat_over_http(self, number: int) -> None:
        agent = self.agents[number]
        reply = self.over_http(Ask(agent, "heartbeat", self.now))
        self.world.supervisor.heartbeat(
            agent.id, UNSET, UNSET, reply, token=agent.token or None, principal=ANYBODY
        )

    @rule(number=NUMBERS, version=st.integers(3, 9).map(str))
    def update(self, number: int, version: str) -> None:
        agent = self.agents[number]
        if agent.link is None or agent.link.close_code is not None:
            return
        self.say(agent.link, Ask(agent, "update", self.now, version=version), version=version)

    @rule(number=NUMBERS)
    def lose_socket(self, number: int) -> None:
        agent = self.agents[number]
        if agent.link is not None and agent.link.close_code is None:
            link, agent.link = agent.link, None
            agent.lost_at = self.now
            link.cut = True
            link.close_code = 1006
            link.session.closed()
            for _, ask in self.asks.pop(link, []):
                ask.agent.failed(ask)

    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        agent = self.agents[number]
        if agent.token:
            self.let_go(agent)
            agent.link = self.connect()
            ask = Ask(agent, "resume", self.now)
            self.say(agent.link, ask, agent_id=agent.id, session_token=agent.token)

    @rule(number=NUMBERS)
    def unregister(self, number: int) -> None:
        agent = self.agents[number]
        agent.registered = False
        if agent.link is not None and agent.link.close_code is None:
            self.say(agent.link, Ask(agent, "unregister", self.now))
        else:
            reply = self.over_http(Ask(agent, "unregister", self.now))
            self.world.supervisor.unregister(
                agent.id, reply, token=agent.token or None, principal=ANYBODY
            )

    @rule(number=NUMBERS)
    def fall_silent(self, number: int) -> None:
        link = self.agents[number].link
        if link is not None:
            link.answers_pings = False

    # --- what time, the store and the hub do -------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.0005, 0.001, 0.05, 0.5, 3.0, 4.9, 5.1, 15.0, 45.1, 61.0]))
    def time_passes(self, seconds: float) -> None:
        left = seconds
        while left > 0:
            step = min(left, 1.0)
            self.world.advance(step)
            left -= step
            self.look_around()
        self.world.advance(0)
        if seconds > LATEST_ANSWER + 1 and self.world.supervisor.ready:
            self.everyone_is_answered()

    def everyone_is_answered(self) -> None:
        self.hear()
        first = [asks[0][1] for link, asks in self.asks.items() if asks and not link.close_code]
        for ask in (*first, *self.http):
            # (What comes before the directory is loaded waits for that.)
            latest = max(ask.at, self.unready_at) + LATEST_ANSWER + 1
            assert self.now < latest, f"{ask.op} has not been answered"

    def look_around(self) -> None:
        troubled = (
            not self.store.reachable
            or self.world.supervisor.store_is_away
            or not self.world.supervisor.ready
            or self.store.swallow_answers
            or self.store.hold_next_commit is not None
            # It lost its data, and nobody has written since: the hub cannot know yet.
            or self.store.log_name != self.world.supervisor.log
        )
        if troubled:
            self.trouble_at = self.now
        if not self.world.supervisor.ready:
            self.unready_at = self.now

    @rule()
    def store_goes_away(self) -> None:
        self.store.reachable = False
        self.look_around()

    @precondition(lambda self: not self.store.reachable)
    @rule()
    def store_returns(self) -> None:
        self.store.reachable = True
        self.trouble_at = self.now

    @rule(answers=st.integers(1, 3))
    def answers_are_lost(self, answers: int) -> None:
        self.store.swallow_answers = answers
        self.trouble_at = self.now

    @rule(seconds=st.sampled_from([0.2, 1.5]))
    def a_batch_hangs(self, seconds: float) -> None:
        self.store.hold_next_commit = seconds
        self.trouble_at = self.now

    @rule()
    def store_loses_its_data(self) -> None:
        self.hear()
        self.store.lose_everything()
        self.lost_data = True
        # The store alone knew the epochs of agents that are no longer listed.
        self.watcher.forget_epochs_of_unlisted()
        self.trouble_at = self.now

    @rule(seconds=st.sampled_from([2.5, 50.0, 200.0]))
    def hub_stalls(self, seconds: float) -> None:
        self.world.scheduler.sleep_through(seconds)
        self.trouble_at = self.now
        self.absences.append(self.now)

    @rule()
    def watcher_comes_back(self) -> None:
        self.hear()
        self.watcher.link.cut = True
        self.watcher.link.close_code = 1006
        self.watcher.link.session.closed()
        self.watch_anew()

    @rule()
    def hub_is_killed_and_starts_again(self) -> None:
        self.hear()
        calm = self.calm()
        before = dict(self.watcher.told)
        for asks in self.asks.values():
            for _, ask in asks:
                ask.agent.failed(ask)
        for ask in self.http:
            ask.agent.failed(ask)
        self.asks, self.http = {}, []
        self.inbox = []
        for agent in self.agents:
            if agent.link is not None:
                agent.link, agent.lost_at = None, self.now
            if not calm:
                # What was not in the store is gone with the hub that owed it.
                agent.registered, agent.load = False, "?"
                agent.versions.add("?")
        if not self.world.supervisor.ready:
            # It may have dropped ghosts, and die before it begins the log that says so.
            self.watcher.position = None
        self.trouble_at = self.now
        self.absences.append(self.now)
        self.world = self.world.restart()
        if self.lost_data or not calm:
            self.watcher.floors = {}
            for agent in self.agents:
                agent.epoch = 0
        else:
            for agent in self.agents:
                if agent.id not in before:
                    self.watcher.floors.pop(agent.id, None)
                    agent.epoch = 0
        self.watch_anew()
        self.world.settle()

    # --- what must hold ----------------------------------------------------------------------

    def calm(self) -> bool:
        """Whether nothing is under way, nor has been in trouble for some time."""
        supervisor = self.world.supervisor
        self.look_around()
        return (
            supervisor.ready
            and self.now > self.trouble_at + CALM
            and supervisor.settled
            and supervisor.stats().mailbox == 0
        )

    @invariant()
    def a_watcher_knows_the_directory(self) -> None:
        self.world.advance(0)
        self.look_around()
        self.hear()
        supervisor = self.world.supervisor
        if not supervisor.ready:
            return
        log = None if self.watcher.position is None else self.watcher.position[1]
        told_of_log = self.watcher.watching and log == supervisor.log == self.store.log_name
        if not told_of_log and not self.calm():
            # Watches get a new log when it holds all agents; and the hub learns only by a request
            # that the store lost its data.
            return
        assert self.watcher.newest == supervisor.revision
        assert self.watcher.position == (supervisor.revision, supervisor.log)
        assert sorted(self.watcher.told) == supervisor.directory.ids()
        for each, told in self.watcher.told.items():
            record = self.world.record(each)
            unsaid = {"last_seen": 0, "load": 0}  # they move on without an event
            assert told | unsaid == record | unsaid

    @invariant()
    def the_log_has_no_gap(self) -> None:
        revisions = [entry.revision for entry in self.store.log]
        if revisions:
            assert revisions == list(range(revisions[0], self.store.revision + 1))

    @invariant()
    def nobody_is_forgotten_or_kept_too_long(self) -> None:
        supervisor = self.world.supervisor
        if not supervisor.ready:
            return
        timing, now = self.world.timing, self.now
        for agent in self.agents:
            if agent.id not in supervisor.directory:
                earliest = agent.heard_at + timing.resume_window + timing.lease_ttl
                assert not agent.registered or now >= earliest
                continue
            record = self.world.record(agent.id)
            health = record["health"]
            if health["connection"] == "websocket" or record["status"] == "unreachable":
                continue
            # Over HTTP, or lost: it must be judged in time, unless there was trouble.
            last = max(agent.spoke_at, agent.lost_at, self.trouble_at + CALM)
            assert now <= last + timing.heartbeat_timeout + SLACK, "judged too late"

    @invariant()
    def a_calm_hub_has_written_everything(self) -> None:
        if not self.calm():
            return
        supervisor, store = self.world.supervisor, self.store
        store.expire()
        ids = set(supervisor.directory.ids())
        assert set(supervisor.registry.agents) == ids
        assert store.active == ids
        assert set(store.entries) == ids
        assert supervisor.registry.recently_lost <= ids
        for each in ids:
            assert store.entries[each][0] == supervisor.get(each)
        assert store.log_name == supervisor.log
        assert store.revision == supervisor.revision
        for agent in self.agents:
            if agent.id in ids and agent.registered and not self.pending(agent):
                record = self.world.record(agent.id)
                assert record["version"] in agent.versions or "?" in agent.versions
                if agent.load != "?":
                    assert record.get("load") == agent.load
        assert len(supervisor.registry.deadlines) <= 20 * AGENTS + 2 * len(self.world.links)

    def pending(self, agent: Known) -> bool:
        on_links = any(ask.agent is agent for asks in self.asks.values() for _, ask in asks)
        return on_links or any(ask.agent is agent for ask in self.http)

    def teardown(self) -> None:
        """When the trouble is over and all fall silent, nothing is left of anyone."""
        self.store.reachable = True
        self.store.swallow_answers = 0
        self.store.hold_next_commit = None
        for link in self.world.links:
            link.answers_pings = link is self.watcher.link
        for _ in range(40):
            self.world.advance(5)
            self.hear()
        self.a_watcher_knows_the_directory()
        supervisor = self.world.supervisor
        assert supervisor.directory.ids() == []
        assert self.watcher.told == {}
        assert supervisor.registry.agents == {}
        assert supervisor.registry.recently_lost == set()
        assert supervisor.replica.committer.outstanding == 0
        assert self.store.active == set()
        assert self.store.entries == {}
        assert not self.http
        assert len(supervisor.registry.deadlines) <= 1
        supervisor.close()


TestLives = LivesMachine.TestCase
TestLives.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Shrinking takes longer than a test may; add Phase.shrink here to look into a failure.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
