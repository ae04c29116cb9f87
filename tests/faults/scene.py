"""A scene: agents, callers and watchers in a new namespace, and what they saw."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cluster import INTERVAL, TERMS, Cluster
from tests.faults.crew import Spec, agent_ids
from tests.faults.doubles import double_ids
from tests.faults.looking import Eye, missing
from tests.faults.notes import Note
from tests.faults.programs import CrewProcess
from tests.faults.reading import fill, legacy_ids
from tests.history.recorded import Fault, History, Living, Loss
from tests.support.hub_process import new_namespace
from tests.support.wire import Wire

AGENTS = 12
LEGACY = 6
WATCHERS = 4
POLL = 0.1

FOUND_LIMIT = 40.0
"""Seconds after a fault's end in which every living agent must be found, on any machine."""


class Scene:
    """One round. `lasting` agents live through it; `mortal` ones are there to be killed."""

    def __init__(self, cluster: Cluster, directory: Path, *, mortal: int) -> None:
        self.cluster = cluster
        self.namespace = new_namespace()
        self.prefix = f"{{{self.namespace}}}:"
        self.history = History(terms=TERMS, wall_offset=time.time() - time.monotonic())
        self.doubles: list[str] = []
        self.silent: set[str] = set()
        self.struck_at = 0.0
        self._directory = directory
        self._eyes = self._look()
        self._programs: list[CrewProcess] = []
        self.lasting = self._program("lasting", agents=AGENTS, legacy=LEGACY)
        self.watching = self._program("watching", watchers=WATCHERS)
        self.mortal = self._program("mortal", agents=mortal) if mortal else None

    def _program(
        self, name: str, *, agents: int = 0, legacy: int = 0, watchers: int = 0
    ) -> CrewProcess:
        spec = Spec(
            name=name,
            hubs=self.cluster.urls,
            namespace=self.namespace,
            path=str(self._directory / f"{self.namespace}-{name}.jsonl"),
            agents=agents,
            legacy=legacy,
            watchers=watchers,
            interval=INTERVAL,
        )
        self._programs.append(CrewProcess(spec))
        return self._programs[-1]

    def _look(self) -> dict[str, Eye]:
        return {
            name: Eye(name, hub, self.namespace, self.history.found.append)
            for name, hub in self.cluster.hubs.items()
        }

    def begin(self) -> None:
        """Wait until everyone is there, and found at every hub."""
        for program in self._programs:
            program.hear("ready")
        self.history.calm_from = time.monotonic()
        self.wait_until_found()

    # --- faults ------------------------------------------------------------------------------

    @contextmanager
    def fault(self, kind: str, subject: str) -> Iterator[None]:
        """What is done inside is a fault of a hub, the store or the network."""
        fault = Fault(at=time.monotonic(), until=float("inf"), kind=kind, subject=subject)
        self.history.faults.append(fault)
        try:
            yield
        finally:
            fault.until = time.monotonic()

    @contextmanager
    def loss(self) -> Iterator[Loss]:
        """The store loses inside what came after the revision `kept` (None: everything)."""
        log = self.cluster.store.log_name(self.prefix)
        loss = Loss(at=time.monotonic(), log=log)
        self.history.losses.append(loss)
        yield loss

    # --- looking -----------------------------------------------------------------------------

    def living(self) -> list[Living]:
        """The agents that must be found."""
        programs = [each for each in self._programs if each.killed_at is None]
        ids = [agent_id for each in programs for agent_id in agent_ids(each.spec)]
        http = legacy_ids(self.lasting.notes())
        return [
            *(Living(agent_id=each, way="websocket", since=0.0) for each in ids + self.doubles),
            *(Living(agent_id=each, way="http", since=0.0) for each in http),
        ]

    def wait_until_found(self, within: float = FOUND_LIMIT) -> None:
        """Wait until all living agents are at every hub, and well."""
        began = time.monotonic()
        self.history.living = self.living()
        while words := self._missing(began):
            assert time.monotonic() < began + within, (
                f"not found within {within:g} s: {'; '.join(words[:5])}"
            )
            time.sleep(POLL)

    def _missing(self, since: float) -> list[str]:
        words = []
        for eye in self._eyes.values():
            if eye.latest is None or eye.latest.at < since:
                words.append(eye.trouble)
            else:
                words += missing(eye.latest, self.history.living)
        return words

    def wait_until_gone(self, ids: set[str], within: float, *, besides: str = "") -> None:
        """Wait until none of these is shown at any hub, but the one that is away."""
        began = time.monotonic()
        eyes = [eye for hub, eye in self._eyes.items() if hub != besides]
        while True:
            left = []
            for eye in eyes:
                if eye.latest is None or eye.latest.at < began:
                    left.append(eye.trouble)
                else:
                    left += [
                        f"{each.name} ({each.id}, {each.status}) at {eye.latest.hub}"
                        for each in eye.latest.agents
                        if each.id in ids
                    ]
            if not left:
                return
            assert time.monotonic() < began + within, (
                f"still there after {within:g} s: {'; '.join(left[:5])}"
            )
            time.sleep(POLL)

    def wait_until_shown(self, ids: set[str], within: float) -> None:
        """Wait until all of these are shown at every hub, in whatever state."""
        began = time.monotonic()
        while True:
            latest = [eye.latest for eye in self._eyes.values()]
            if all(
                found is not None and found.at > began and ids <= {each.id for each in found.agents}
                for found in latest
            ):
                return
            assert time.monotonic() < began + within, f"not shown within {within:g} s: {ids}"
            time.sleep(POLL)

    def acknowledge_loss(self, hub: str) -> None:
        """Let removal go on, by a word at one hub."""
        wire = Wire(self.cluster.hubs[hub].url, namespace=self.namespace)
        answer = wire.ask("acknowledge_loss")
        wire.drop()
        assert answer["op"] == "loss_acknowledged", answer

    def dead(self) -> set[str]:
        """The identities of those who were killed."""
        killed = [each for each in self._programs if each.killed_at is not None]
        return {agent_id for each in killed for agent_id in agent_ids(each.spec)}

    def exempt(self, program: CrewProcess) -> None:
        """Its agents were silent for long: they may be told unreachable."""
        self.silent |= {*agent_ids(program.spec)}

    # --- the end -----------------------------------------------------------------------------

    def calm(self) -> None:
        """Faults are over from now on."""
        self.history.calm_from = time.monotonic()

    def quiet(self) -> None:
        """Nothing changes any more; signs of life go on."""
        running = [each for each in self._programs if each.killed_at is None]
        for program in running:
            program.tell("quiet", wait=False)
        for program in running:
            program.hear("quiet")

    def settle(self, within: float = 10.0) -> None:
        """Wait until nothing moves any more: every hub has been read, and the store."""
        began = time.monotonic()
        while True:
            stored = self.cluster.store.stored(self.prefix)
            places = [
                (eye.latest.log, eye.latest.revision)
                for eye in self._eyes.values()
                if eye.latest is not None and eye.latest.at > stored.at - 2 * POLL
            ]
            settled = len(places) == len(self._eyes) and {*places} == {
                (stored.log, stored.revision)
            }
            late = time.monotonic() > began + within
            if late or (settled and time.monotonic() > began + 1.0):
                break
            time.sleep(POLL)
        for eye in self._eyes.values():
            eye.end()
        self.history.stored = self.cluster.store.stored(self.prefix)
        self.history.entries = self.cluster.store.drained(self.prefix)
        time.sleep(0.5)  # for what watchers are being told
        self.history.end = time.monotonic()
        self._eyes = self._look()

    def recorded(self) -> History:
        """The history, with all that the programs noted."""
        self.history.living = self.living()
        for program in self._programs:
            fill(self.history, program.notes(), program.killed_at)
            if program.killed_at is not None:
                for agent_id in agent_ids(program.spec):
                    self.history.dead[agent_id] = program.killed_at
        return self.history

    def notes(self) -> list[list[Note]]:
        """The notes of each program."""
        return [program.notes() for program in self._programs]

    def running_notes(self) -> list[list[Note]]:
        """The notes of the programs to which nothing was done."""
        return [each.notes() for each in (self.lasting, self.watching)]

    def leave(self) -> None:
        """Everyone unregisters."""
        for program in self._programs:
            if program.killed_at is None:
                program.tell("leave")

    def duplicate(self, act: str) -> None:
        """An act of `tests.faults.doubles`."""
        self.lasting.tell(act)
        self.doubles = double_ids(self.namespace)

    def end(self) -> None:
        """End all programs and connections."""
        for eye in self._eyes.values():
            eye.end()
        for program in self._programs:
            program.kill()
