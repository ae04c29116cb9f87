"""One simulation: built from a seed, run to its end, judged by the checkers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from random import Random

from msgspec import Struct

from actors.runtime.turns import complete
from actors.timing import HUB_LEASE
from homeport_protocol.bounds import KINDS
from homeport_protocol.codec import decode_record
from homeport_protocol.filters import MATCH_ALL
from homeport_protocol.record import AgentRecord
from tests.history.checks import Violation, longest_until_found, violations
from tests.history.recorded import Found, History, Slack, Stored, Terms
from tests.simulation.agents import CrashingAgent, DeployedAgent, WebsocketAgent
from tests.simulation.asking import Surroundings
from tests.simulation.callers import HttpAgent
from tests.simulation.claimants import Claimant
from tests.simulation.dear import DearCaller
from tests.simulation.elsewhere import ElsewhereAgent
from tests.simulation.faults import Faults
from tests.simulation.hubs import SimHub
from tests.simulation.network import Network
from tests.simulation.older import OlderProcess
from tests.simulation.rivals import Rival
from tests.simulation.scenario import HOLD, Deed, Scenario, scenario_of
from tests.simulation.storage import SimStore
from tests.simulation.watchers import Frames, Watcher
from tests.support.clock import START_WALL, VirtualClock

OLDER_SEEDS, OLDER_SHARE = 0.4, 0.4
"""Share of the seeds with older processes over HTTP, and of the websocket agents that have one."""
FEW_BYTES = 2**20
"""A log that may have fewer keeps nobody knows how many entries."""

READERS = (1, 4)
"""Watchers of everything that ask for readings."""

BY_REVISION = 1
"""The watcher that goes on by `since` and `log`, as older ones do."""

DEAR = 3
"""Callers that ask for much, in seeds where that takes time."""

QUIET = 1.0
"""Seconds before the end from which nobody says anything any more."""

FIRST_CRASHER = 10_000
"""From which number on agents are those that crash."""

FIRST_RIVAL, RIVAL_SEEDS = 20_000, 0.3
"""From which number on agents are rivals, and the share of the seeds that have some."""

FIRST_CLAIMED, CLAIMED_SEEDS = 40_000, 0.4
"""From which number on agents are claimed by several principals, and the share of such seeds."""

FIRST_DEPLOYED = 30_000
"""From which number on agents are those that are replaced; their successors' come after."""

NOTICED = 10.0
"""Seconds within which hubs notice what is said elsewhere."""

ELSEWHERE_SEEDS = 0.3
"""Share of the seeds in which a legacy service writes to the same store."""

MOST_TOMBSTONES = 1
"""Far fewer than the store keeps: that the oldest go must change nothing that anybody sees."""

Printer = Callable[[str], None]


class Outcome(Struct):
    """What became of a seed. `trace` is a digest of everything that was said, in order."""

    seed: int
    violations: list[Violation]
    trace: str
    acknowledged: int
    until_found: float | None
    history: History


class Simulation:
    """All parts of one run, and the way they are put together."""

    def __init__(self, seed: int, printer: Printer | None = None) -> None:
        self.seed = seed
        self.scenario: Scenario = scenario_of(seed)
        self._printer = printer
        self._digest = hashlib.blake2b(digest_size=16)
        scenario = self.scenario
        timings = scenario.timings
        timeouts = [each.heartbeat_timeout for each in timings]
        self.clock = VirtualClock(start=0.0)
        self.history = History(
            terms=Terms(
                heartbeat_timeout=min(timeouts),
                longest_timeout=max(timeouts),
                lease_ttl=max(each.lease_ttl for each in timings),
                resume_window=timings[0].resume_window,
                hub_lease=HUB_LEASE,
                hold=HOLD,
            ),
            wall_offset=START_WALL,
        )
        self.store = SimStore(self.clock, self._random("store"), self.trace)
        self.store.trim_to = scenario.trim_to
        self.store.most_tombstones = MOST_TOMBSTONES
        self.network = Network(self.clock, self._random("network"), self.trace)
        hub_random = self._random("hubs")
        self.hubs = [
            SimHub(
                f"hub-{number + 1}",
                self.clock,
                self.store,
                Random(hub_random.getrandbits(64)),
                timing,
                scenario.limits,
                hub_random.uniform(-scenario.skew, scenario.skew),
                self.trace,
                scenario.work_cost,
            )
            for number, timing in enumerate(timings)
        ]
        self.around = Surroundings(
            self.clock, self._random("clients"), self.network, self.hubs, self.history
        )
        self.agents: list[WebsocketAgent | HttpAgent] = []
        self.crashers: list[CrashingAgent] = []
        self.rivals: list[Rival] = []
        self.elsewhere: list[ElsewhereAgent] = []
        self.deployed: list[DeployedAgent] = []
        self.watchers: list[Watcher] = []
        self._decoded: dict[bytes, AgentRecord] = {}

    def _random(self, part: str) -> Random:
        return Random(f"{part} {self.seed}")

    def trace(self, *parts: object) -> None:
        """Something was said or done: it counts for the digest, and is printed if asked for."""
        digest = self._digest
        digest.update(b"%.6f" % self.clock.now())
        for part in parts:
            digest.update(part if isinstance(part, bytes) else str(part).encode())
        if self._printer is not None:
            words = " ".join(
                each.decode() if isinstance(each, bytes) else str(each) for each in parts
            )
            self._printer(f"{self.clock.now():9.4f}  {words}")

    # --- running ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run to the end and check."""
        scenario, clock, around = self.scenario, self.clock, self.around
        self._populate()
        faults = Faults(
            clock,
            self._random("faults"),
            self.network,
            self.hubs,
            self.store,
            self.history,
            self.trace,
        )
        faults.plan(scenario.faults)
        for deed in scenario.deeds:
            clock.call_at(deed.at, lambda deed=deed: self._do(deed))  # type: ignore[misc]
        while not scenario.faults and clock.now() + 1.0 < scenario.active:
            clock.run_until(clock.now() + 1.0)
            self._read_directories()
        clock.run_until(scenario.active)
        faults.end_all()
        around.calm = True
        self.history.calm_from = clock.now()
        end = clock.now() + scenario.calm
        while clock.now() + 1.0 < end - QUIET:
            clock.run_until(clock.now() + 1.0)
            self._read_directories()
        clock.run_until(end - QUIET)
        around.quiet = True
        clock.run_until(end)
        self._finish()
        slack = Slack(
            clock=0.001 + 2 * scenario.skew,
            found_within=25.0 + self.history.terms.longest_timeout,
        )
        wrong = violations(self.history, slack)
        wrong += [
            Violation("no_handler_fails", words) for hub in self.hubs for words in hub.failures
        ]
        return Outcome(
            self.seed,
            wrong,
            self._digest.hexdigest(),
            sum(ask.acknowledged for ask in self.history.asks),
            longest_until_found(self.history),
            self.history,
        )

    def _populate(self) -> None:
        """Everybody comes within the first seconds."""
        scenario, clock, around = self.scenario, self.clock, self.around
        random = self._random("arrivals")
        interval = scenario.timings[0].heartbeat_interval
        frames = Frames()
        filters = [{}, {}, {"type": "cost"}, {"status": "unreachable"}, {}, {"status": "healthy"}]

        chosen = self._random("kinds")
        kinds: list[list[str]] = [[] for _ in filters]
        for number in (2, 5):
            if chosen.random() < 0.7:
                kinds[number] = [*chosen.sample(KINDS, chosen.randint(1, 4))]

        def agent(number: int) -> None:
            kind = WebsocketAgent if number < scenario.agents else HttpAgent
            self.agents.append(kind(around, number, interval))

        def watcher(number: int) -> None:
            by = {"by_position": number != BY_REVISION, "readings": number in READERS}
            watcher = Watcher(around, f"w{number}", filters[number], frames, kinds[number], **by)
            self.watchers.append(watcher)

        for number in range(scenario.agents + scenario.callers):
            at = random.uniform(0.1, 1.9)
            clock.call_at(at, lambda number=number: agent(number))  # type: ignore[misc]
        if scenario.crashes_every:
            for number in range(int((scenario.active - 2.0) / scenario.crashes_every)):
                at = 2.0 + number * scenario.crashes_every
                clock.call_at(at, lambda number=number: self._crash(number))  # type: ignore[misc]
        self._plan_deployment()
        for number in range(scenario.watchers):
            at = random.uniform(0.1, 1.9)
            clock.call_at(at, lambda number=number: watcher(number))  # type: ignore[misc]

        self._populate_older(interval)
        self._populate_rivals(interval)
        self._populate_elsewhere(interval)
        self._populate_claimed(interval)
        if scenario.work_cost:
            for number in range(DEAR):
                at = chosen.uniform(2.0, 4.0)
                clock.call_at(at, partial(DearCaller, around, number))

    def _populate_older(self, interval: float) -> None:
        """Some websocket agents have an older process, which registers at about the same time."""
        chance = self._random("older processes")
        if chance.random() > OLDER_SEEDS:
            return
        for number in range(self.scenario.agents):
            if chance.random() < OLDER_SHARE:
                at, own = chance.uniform(0.0, 1.0), Random(chance.getrandbits(64))
                self.clock.call_at(at, partial(self._begin_older, number, interval, own))

    def _begin_older(self, number: int, interval: float, own: Random) -> None:
        name = f"a{number:03d}"

        def ended() -> bool:
            return any(each.over for each in self.agents if each.name == name)

        OlderProcess(self.around, number, interval, own, ended)

    def _populate_rivals(self, interval: float) -> None:
        """Some identities have several programs, which begin in the same moment."""
        chance = self._random("rivals")
        unseen = any(fault.kind == "store goes back" for fault in self.scenario.faults)
        if unseen or chance.random() > RIVAL_SEEDS:
            return  # one such thing a seed
        for number in range(FIRST_RIVAL, FIRST_RIVAL + chance.randint(1, 3)):
            at, share = chance.uniform(0.1, 1.9), chance.choice([0.0, 0.5, 1.0, 1.0])
            for _ in range(chance.randint(2, 3)):
                exclusive = chance.random() < share
                begin = partial(self._begin_rival, number, interval, exclusive=exclusive)
                self.clock.call_at(at, begin)

    def _populate_elsewhere(self, interval: float) -> None:
        """Some agents are those of a legacy service, which writes to the same store."""
        chance = self._random("elsewhere")
        if chance.random() > ELSEWHERE_SEEDS:
            return
        for number in range(chance.randint(1, 6)):
            at, own = chance.uniform(0.5, 20.0), Random(chance.getrandbits(64))
            self.clock.call_at(at, partial(self._begin_elsewhere, f"e{number}", interval, own))

    def _begin_elsewhere(self, name: str, interval: float, own: Random) -> None:
        until = self.scenario.active + self.scenario.calm - NOTICED
        self.elsewhere.append(
            ElsewhereAgent(self.around, self.store, name, own, interval=interval, until=until)
        )

    def _populate_claimed(self, interval: float) -> None:
        """Some identities are claimed by two or three principals, which begin in one moment."""
        chance = self._random("claimants")
        if chance.random() > CLAIMED_SEEDS:
            return
        for number in range(FIRST_CLAIMED, FIRST_CLAIMED + chance.randint(1, 3)):
            at = chance.uniform(0.1, 1.9)
            for owner in "abc"[: chance.randint(2, 3)]:
                own = Random(chance.getrandbits(64))
                begin = partial(Claimant, self.around, number, interval, owner, own)
                self.clock.call_at(at + chance.choice([0.0, 0.001, 0.5]), begin)

    def _begin_rival(self, number: int, interval: float, *, exclusive: bool) -> None:
        self.rivals.append(Rival(self.around, number, interval, exclusive=exclusive))

    def _crash(self, number: int) -> None:
        around, timing = self.around, self.scenario.timings[0]
        self.crashers.append(
            CrashingAgent(around, FIRST_CRASHER + number, timing.heartbeat_interval)
        )

    def _plan_deployment(self) -> None:
        """Agents come, all are killed at once, and their successors come about then."""
        chance, count, at = self._random("deployment"), self.scenario.deployed, self.clock.call_at
        killed_at = self.scenario.deployed_at
        for number in range(count):
            at(chance.uniform(0.1, 1.9), partial(self._deploy, number, number))
            at(killed_at + chance.uniform(-3.0, 3.0), partial(self._deploy, number, count + number))
        if count:
            at(killed_at, self._kill_deployed)

    def _deploy(self, place: int, number: int) -> None:
        interval, name = self.scenario.timings[0].heartbeat_interval, f"a{FIRST_DEPLOYED + place}"
        self.deployed.append(DeployedAgent(self.around, FIRST_DEPLOYED + number, interval, name))

    def _kill_deployed(self) -> None:
        for agent in self.deployed[: self.scenario.deployed]:
            agent.die(silently=False)

    def _do(self, deed: Deed) -> None:
        self.trace("deed:", deed.what, deed.number)
        if deed.what == "turn":
            self.watchers[deed.number % len(self.watchers)].leave()
            return
        agent = self.agents[deed.number % len(self.agents)]
        if agent.over:
            return
        match deed.what:
            case "leave":
                agent.leave()
            case "die" | "vanish":
                agent.die(silently=deed.what == "vanish")
            case "hang":
                agent.hangs = True
            case "restart":
                agent.restart()
            case "move":
                agent.move()

    # --- reading ---------------------------------------------------------------------------------

    def _record(self, data: bytes) -> AgentRecord:
        record = self._decoded.get(data)
        if record is None:
            record = self._decoded[data] = decode_record(data)
        return record

    def _read_directories(self) -> None:
        for hub in self.hubs:
            supervisor = hub.supervisor
            agents = (
                complete(supervisor.directory.find(MATCH_ALL, None, None)).agents
                if hub.ready
                else []
            )
            self.history.found.append(
                Found(
                    at=self.clock.now(),
                    hub=hub.hub_id,
                    log=supervisor.log,
                    revision=supervisor.revision,
                    agents=[self._record(data) for data in agents],
                    held=[
                        agent_id
                        for agent_id in (supervisor.directory.ids() if hub.ready else ())
                        if supervisor.replica.removal.held_until(agent_id) > hub.clock.now()
                    ],
                )
            )

    def _finish(self) -> None:
        history, store = self.history, self.store
        self._read_directories()
        store.expire()
        history.stored = Stored(
            at=self.clock.now(),
            log=store.log_name,
            revision=store.revision,
            records={each: self._record(entry[0]) for each, entry in store.entries.items()},
            active=sorted(store.active),
        )
        history.entries = store.history
        history.losses = store.losses
        history.ran_out = store.ran_out
        limits = self.scenario.limits
        if limits.max_log_bytes < FEW_BYTES:
            history.log_reach = 0
        else:
            history.log_reach = min(limits.log_length, self.scenario.trim_to or limits.log_length)
        history.alarms = [alarm for hub in self.hubs for alarm in hub.alarms]
        first_of_rivals = {rival.agent_id: rival for rival in reversed(self.rivals)}.values()
        history.living = [
            living
            for agent in (*self.agents, *first_of_rivals)
            if (living := agent.living()) is not None
        ]
        for agent in [*self.agents, *self.crashers, *self.rivals, *self.deployed]:
            if isinstance(agent, WebsocketAgent):
                for connection in (agent.connection, *agent.zombies):
                    if connection is not None and not connection.wire.alive:
                        connection.record.ended = connection.wire.broken_at
        history.elsewhere = [each.said for each in self.elsewhere if each.said.agent_id]
        history.held = {hub.hub_id: hub.held for hub in self.hubs}
        history.end = self.clock.now()
