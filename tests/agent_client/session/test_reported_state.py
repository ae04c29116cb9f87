"""ReportedState: whatever is lost, refused and said meanwhile, the hub ends with the last words."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET, Struct, structs

from agent_client.session.reported_state import Key, Report, ReportedState, Words
from homeport_protocol.record import AgentChanges, AgentSpec, merge_metadata

SPEC = AgentSpec(name="cost-1", type="cost", version="0", load=0.0, metadata={"zone": "a"})

BAD = "bad"
"""A version that the hub refuses, wherever it comes."""


ALL: list[Key] = [("status",), ("load",), ("version",), *(("metadata", key) for key in "abc")]


def changes(**said: Any) -> AgentChanges:
    return AgentChanges(**said)


def said(words: Words) -> dict[str, Any]:
    """What a message says."""
    given = structs.asdict(words.changes)
    return {field: value for field, value in given.items() if value is not UNSET}


def sent(state: ReportedState, **values: Any) -> tuple[Report, Words]:
    report = state.say(changes(**values))
    return report, state.of(report)


# --- the rules, one by one -----------------------------------------------------------------------


def test_a_heartbeat_says_what_a_report_under_way_says() -> None:
    state = ReportedState(SPEC)
    sent(state, status="degraded", load=0.9, metadata={"queue": 3})
    assert said(state.vital()) == {"status": "degraded", "load": 0.9}


def test_a_report_that_waits_for_a_connection_is_carried_by_nothing_else() -> None:
    state = ReportedState(SPEC)
    state.say(changes(status="degraded"))
    assert said(state.vital()) == {"status": "healthy", "load": 0.0}
    assert said(state.unsettled()) == {"status": "healthy", "load": 0.0}
    assert state.current().status == "healthy"


def test_a_newer_acknowledgement_settles_what_was_owed_field_by_field() -> None:
    state = ReportedState(SPEC)
    old, _ = sent(state, status="unhealthy", version="1", metadata={"a": 1, "b": 1})
    state.give_up(old)
    new, words = sent(state, status="degraded", metadata={"b": 2})
    state.acknowledge(words, new)
    owed = state.owed()
    assert owed is not None
    assert said(owed) == {"version": "1", "metadata": {"a": 1}}
    state.acknowledge(owed)
    assert state.owed() is None
    assert not state.owing.is_set()
    assert state.current().status == "degraded"
    assert state.current().metadata == {"zone": "a", "a": 1, "b": 2}


def test_a_report_that_is_sent_again_does_not_undo_newer_ones() -> None:
    state = ReportedState(SPEC)
    old, words = sent(state, status="unhealthy", version="1")
    state.doubt(words)
    new, newer = sent(state, status="degraded")
    state.acknowledge(newer, new)
    again = state.of(old)
    assert said(again) == {"version": "1"}
    state.acknowledge(again, old)
    assert not state.owing.is_set()
    assert (state.current().status, state.current().version) == ("degraded", "1")


def test_what_a_heartbeat_carried_is_taken_back_when_its_report_is_refused() -> None:
    state = ReportedState(SPEC)
    report, _ = sent(state, status="degraded")
    state.acknowledge(state.vital())
    assert not state.owing.is_set()
    state.refuse(report)
    assert state.owing.is_set()
    owed = state.owed()
    assert owed is not None
    assert said(owed) == {"status": "healthy"}


def test_a_refusal_brings_back_the_older_words_that_are_still_owed() -> None:
    state = ReportedState(SPEC)
    older, words = sent(state, version="1")
    state.doubt(words)
    state.give_up(older)
    newer, _ = sent(state, version="2", metadata={"a": 1})
    assert said(state.unsettled())["version"] == "2"
    state.refuse(newer)
    assert said(state.unsettled()) == {"status": "healthy", "load": 0.0, "version": "1"}


def test_a_deletion_is_owed_as_null() -> None:
    state = ReportedState(SPEC)
    for metadata in ({"zone": None, "job": 1}, {"job": None}):
        state.give_up(state.say(changes(metadata=metadata)))
    assert said(state.unsettled())["metadata"] == {"zone": None, "job": None}
    assert state.current().metadata is UNSET


def test_an_outage_in_which_much_is_said_leaves_the_newest_of_each_field() -> None:
    state = ReportedState(SPEC)
    for number in range(2000):
        job = {f"job-{number}": 1, f"job-{number - 1}": None}
        state.give_up(state.say(changes(load=float(number), metadata=job)))
    words = said(state.unsettled())
    assert words["load"] == 1999.0
    assert len(words["metadata"]) < 100
    assert state.current().metadata == {"zone": "a", "job-1999": 1}


def test_a_registration_that_was_refused_is_made_without_what_no_hub_knows() -> None:
    state = ReportedState(SPEC)
    good = state.say(changes(metadata={"a": 1}))
    bad = state.say(changes(version=BAD))
    state.give_up(good)
    state.give_up(bad)
    refused = state.unsettled()
    assert state.withhold(refused)
    alone = state.unsettled()
    assert said(alone) == {"status": "healthy", "load": 0.0}
    assert not state.withhold(alone)
    state.acknowledge(alone)
    one = state.owed()
    assert one is not None
    assert said(one) == {"metadata": {"a": 1}}
    state.acknowledge(one)
    other = state.owed()
    assert other is not None
    assert said(other) == {"version": BAD}
    state.drop(other)
    assert state.owed() is None
    assert state.current().version == "0"


def test_an_older_record_is_corrected_in_every_field() -> None:
    state = ReportedState(SPEC)
    state.distrust([("metadata", "queue")])
    assert said(state.unsettled()) == {
        "status": "healthy",
        "load": 0.0,
        "version": "0",
        "port": 0,
        "capabilities": [],
        "metadata": {"zone": "a", "queue": None},
    }


# --- any interleaving ----------------------------------------------------------------------------


class Sent(Struct):
    """A message on the wire. `own` is the report that it is the request of, if it is one's."""

    words: Words
    kind: str
    own: Report | None = None


class Play:
    """A program, its state, a connection and a hub, which do anything in any order.

    The hub takes messages in the order in which they were sent, refuses bad versions, and may
    refuse anything for the moment. A connection that breaks loses messages and answers alike.
    """

    def __init__(self, seed: int, make: Callable[[AgentSpec], ReportedState]) -> None:
        self.dice = random.Random(seed)
        self.state = make(SPEC)
        self.record: dict[str, Any] = {}
        self.connected = False
        self.wire: deque[Sent] = deque()
        self.answers: deque[tuple[Sent, str]] = deque()
        self.callers: dict[Report, AgentChanges] = {}
        self.waiting: list[Report] = []
        self.uncertain: set[Report] = set()
        self.refused: dict[Report, set[Key]] = {}
        self.program: list[tuple[Report, AgentChanges]] = []
        self.number = 0

    # The hub.

    def apply(self, words: AgentChanges) -> bool:
        if words.version == BAD:
            return False
        for field, value in structs.asdict(words).items():
            if field == "metadata":
                metadata = merge_metadata(self.record.get("metadata", UNSET), value)
                self.record["metadata"] = {} if metadata is UNSET else metadata
            elif value is not UNSET:
                self.record[field] = value
        return True

    def take(self) -> None:
        message = self.wire.popleft()
        chance = self.dice.random()
        if chance < 0.1:
            answer = "refused for now"
        elif chance < 0.2:
            answer = "unknown"
            if self.dice.random() < 0.5:
                self.apply(message.words.changes)
        else:
            answer = "done" if self.apply(message.words.changes) else "refused"
        self.answers.append((message, answer))

    # The client.

    def hear(self) -> None:
        message, answer = self.answers.popleft()
        own = message.own
        match answer:
            case "done":
                self.state.acknowledge(message.words, own)
                if own is not None:
                    del self.callers[own]
            case "unknown":
                self.state.doubt(message.words)
                if own is not None:
                    self.uncertain.add(own)
                    self.waiting.append(own)
            case "refused":
                if own is not None:
                    self.refuse(own)
                elif message.kind == "owed":
                    for report in message.words.sources.values():
                        if report is not None:
                            self.refused[report] = {*report.values}
                    self.state.drop(message.words)
            case _ if own is not None and own in self.uncertain:
                self.waiting.append(own)
            case _ if own is not None:
                self.refuse(own)
            case _:
                self.state.doubt(message.words)

    def refuse(self, report: Report) -> None:
        del self.callers[report]
        self.refused[report] = {*ALL}
        self.state.refuse(report)

    def lose(self) -> None:
        while self.wire and self.dice.random() < 0.5:
            self.take()
        for message in (*(message for message, _ in self.answers), *self.wire):
            self.state.doubt(message.words)
            if message.own is not None:
                self.uncertain.add(message.own)
                self.waiting.append(message.own)
        self.wire.clear()
        self.answers.clear()
        self.connected = False

    def join(self, *, calm: bool = False) -> None:
        words = self.state.unsettled()
        if not calm and self.dice.random() < 0.2:
            if self.dice.random() < 0.5:
                self.apply(words.changes)
            self.state.doubt(words)
        elif self.apply(words.changes):
            self.state.acknowledge(words)
            self.connected = True
        else:
            assert self.state.withhold(words)

    def send(self, message: Sent) -> None:
        self.wire.append(message)

    # The program.

    def say(self) -> None:
        self.number += 1
        fields: dict[str, Any] = {}
        while not fields:
            if self.dice.random() < 0.4:
                fields["status"] = self.dice.choice(["healthy", "degraded", "unhealthy"])
            if self.dice.random() < 0.4:
                fields["load"] = float(self.number)
            if self.dice.random() < 0.4:
                fields["version"] = self.dice.choice([str(self.number), str(self.number), BAD])
            if self.dice.random() < 0.5:
                keys = self.dice.sample("abc", self.dice.randint(1, 2))
                values = (None, self.number)
                fields["metadata"] = {key: self.dice.choice(values) for key in keys}
        report = self.state.say(changes(**fields))
        self.program.append((report, changes(**fields)))
        self.callers[report] = changes(**fields)
        self.waiting.append(report)

    def give_up(self) -> None:
        report = self.waiting.pop(self.dice.randrange(len(self.waiting)))
        del self.callers[report]
        self.state.give_up(report)

    # The play.

    def moves(self) -> list[Callable[[], None]]:
        moves: list[Callable[[], None]] = [self.say]
        if self.waiting:
            moves.append(self.give_up)
        if not self.connected:
            return [*moves, self.join, self.join]
        moves += [self.lose, self.heartbeat]
        if self.waiting:
            moves += [self.ask] * 3
        if self.wire:
            moves += [self.take] * 3
        if self.answers:
            moves += [self.hear] * 3
        if self.state.owing.is_set() and not self.owed_under_way():
            moves += [self.settle] * 2
        return moves

    def owed_under_way(self) -> bool:
        under_way = (*self.wire, *(message for message, _ in self.answers))
        return any(message.kind == "owed" for message in under_way)

    def heartbeat(self) -> None:
        self.send(Sent(self.state.vital(), "heartbeat"))

    def ask(self) -> None:
        report = self.waiting.pop(0)
        self.send(Sent(self.state.of(report), "report", report))

    def settle(self) -> None:
        words = self.state.owed()
        assert words is not None
        self.send(Sent(words, "owed"))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.dice.choice(self.moves())()
        for _ in range(10_000):
            if not self.connected:
                self.join(calm=True)
            elif self.answers:
                self.hear()
            elif self.wire:
                self.take()
            elif self.waiting:
                self.ask()
            elif self.state.owing.is_set():
                self.settle()
            else:
                return
        raise AssertionError("it never comes to rest")

    def last_words(self) -> dict[str, Any]:
        """What the program said, without what was refused."""
        words: dict[str, Any] = {"status": "healthy", "load": 0.0, "version": "0"}
        metadata: dict[str, Any] = {"zone": "a"}
        for report, each in self.program:
            refused = self.refused.get(report, set())
            for field in ("status", "load", "version"):
                if (value := getattr(each, field)) is not UNSET and (field,) not in refused:
                    words[field] = value
            for key, value in (each.metadata or {}).items():
                if ("metadata", key) not in refused:
                    metadata[key] = value
        return words | {"metadata": {k: v for k, v in metadata.items() if v is not None}}


def first_difference(make: Callable[[AgentSpec], ReportedState]) -> str | None:
    for seed in range(1500):
        play = Play(seed, make)
        play.apply(AgentChanges(**{f: getattr(SPEC, f) for f in AgentChanges.__struct_fields__}))
        play.run(steps=seed % 120)
        expected = play.last_words()
        found = {field: play.record.get(field) for field in expected}
        if found != expected:
            return f"seed {seed}: the hub has {found}, the program said {expected}"
        current = play.state.current()
        if {f: getattr(current, f) or {} for f in ("version", "metadata")} != {
            "version": expected["version"],
            "metadata": expected["metadata"],
        }:
            return f"seed {seed}: the state is {current}, the program said {expected}"
    return None


def test_in_any_interleaving_the_hub_ends_with_the_programs_last_words() -> None:
    assert first_difference(ReportedState) is None


class HeartbeatsOfBefore(ReportedState):
    """A heartbeat says what was acknowledged last."""

    def vital(self) -> Words:
        return Words(AgentChanges(status=self._settled["status",]), {("status",): None})


class OwedForEver(ReportedState):
    """A newer acknowledgement does not settle what was owed before."""

    def _settle(self, key: Key, report: Report) -> None:
        older = [each for each in self._reports if key in each.values and each is not report]
        kept = {each: each.values[key] for each in older}
        super()._settle(key, report)
        for each, value in kept.items():
            each.values[key] = value


class SentAgainAsItWas(ReportedState):
    """A report that is sent again says all that it said, whatever was said meanwhile."""

    def of(self, report: Report) -> Words:
        words = self._words(dict.fromkeys(report.values, report))
        self._changed()
        return words


class NothingTakenBack(ReportedState):
    """What another message carried stays when its report is refused."""

    def refuse(self, report: Report) -> None:
        self._doubtful.clear()
        super().refuse(report)


@pytest.mark.parametrize(
    "broken", [HeartbeatsOfBefore, OwedForEver, SentAgainAsItWas, NothingTakenBack]
)
def test_a_rule_that_is_broken_shows(broken: type[ReportedState]) -> None:
    assert first_difference(broken) is not None
