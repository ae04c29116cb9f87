"""Group commit: the store never waits for the reports of results, nor these for the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from actors.log.batch import FEW
from actors.log.committer import MAX_UNDER_WAY, PAUSE, Committer
from actors.log.proposal import Proposal
from actors.ports.store import (
    Applied,
    Away,
    Change,
    Committed,
    Fenced,
    LogEntry,
    Opened,
    Refusal,
    Renewal,
)
from actors.timing import CHANGE_TIMEOUT
from homeport_protocol.record import AgentRecord
from tests.support.clock import VirtualClock
from tests.support.records import record

Reply = Callable[[Committed | Fenced | Away], None]


class WaitingStore:
    """Answers a commit when the test says so."""

    name = "Redis"

    def __init__(self) -> None:
        self.commits: list[tuple[list[Change | Renewal], Reply]] = []
        self.unsent: list[Callable[[], None]] = []
        self.opened_from: list[int] = []
        self.read_from: list[int] = []
        self.readers: list[Callable[[Any], None]] = []

    def open(self, position: Any, reply: Callable[[Opened | Away], None], **_: Any) -> None:
        self.opened_from.append(position.revision)
        if len(self.opened_from) == 1:
            reply(Opened(log="log", revision=0, fresh=True, secret=b"secret"))

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Reply,
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        self.commits.append((changes, reply))
        if sent is not None:
            self.unsent.append(sent)

    def send(self) -> None:
        """What was committed leaves for the store."""
        unsent, self.unsent = self.unsent, []
        for sent in unsent:
            sent()

    def read_log(self, position: Any, _upto: Any, reply: Callable[[Any], None]) -> None:
        self.read_from.append(position.revision)
        self.readers.append(reply)

    def answer(self, first_revision: int = 1) -> None:
        """The oldest commit was applied, as the revisions from this one on."""
        changes, reply = self.commits.pop(0)
        results: list[Applied | Refusal] = [
            Applied(first_revision + number, 1) for number in range(len(changes))
        ]
        reply(Committed(log="log", before=first_revision - 1, results=results))


class Listener:
    """Fold and proposer: what it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.order: list[int] = []
        self.foreigners: list[int] = []
        self.slowness: list[float | None] = []

    def opened(self, opened: Opened, *, gap: bool, why: str) -> None: ...

    def away(self, reason: str) -> None: ...

    def slow(self, seconds: float | None) -> None:
        self.slowness.append(seconds)

    def foreign(self, entry: Any) -> None:
        self.order.append(entry.revision)
        self.foreigners.append(entry.revision)

    def applied(self, proposal: Proposal, applied: Applied) -> AgentRecord:
        self.order.append(applied.revision)
        return structs.replace(proposal.record, revision=applied.revision)

    def sweep(self) -> None: ...

    def settled(self, proposal: Proposal, result: Any) -> None:
        self.told.append(result.revision if isinstance(result, AgentRecord) else -1)


class Scene:
    def __init__(self) -> None:
        self.scheduler = VirtualClock()
        self.store = WaitingStore()
        self.listener = Listener()
        self.committer = Committer(self.scheduler, self.store, self.listener, "hub")  # type: ignore[arg-type]
        self.committer.start()

    def propose(self, count: int) -> None:
        for number in range(count):
            change = _change(f"agent-{number}")
            self.committer.propose(Proposal(change, record(), self.listener, self.scheduler.now()))

    def turn(self) -> None:
        self.scheduler.advance(0)
        self.store.send()

    @property
    def sizes(self) -> list[int]:
        return [len(changes) for changes, _ in self.store.commits]


def _change(agent_id: str) -> Change:
    return Change(
        operation="write",
        agent_id=agent_id,
        epoch=1,
        ttl=60.0,
        revision=0,
        hub="hub",
        head=b"{}",
        kind="updated",
    )


def test_a_change_alone_is_sent_in_the_next_turn() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    assert scene.sizes == [1]
    scene.store.answer()
    assert scene.listener.told == [1]


def test_of_many_half_are_sent_and_the_others_next() -> None:
    scene = Scene()
    scene.propose(100)
    scene.turn()
    assert scene.sizes == [50]
    scene.store.answer()
    assert scene.sizes == [25]


def test_of_a_few_all_are_sent() -> None:
    scene = Scene()
    scene.propose(FEW)
    scene.turn()
    assert scene.sizes == [FEW]


def test_the_next_batch_is_sent_before_the_last_one_is_told() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(2)
    scene.store.answer()
    assert scene.sizes == [2]
    assert scene.listener.told == []
    assert scene.committer.outstanding == 3
    scene.scheduler.advance(1.0)
    assert scene.listener.told == []
    scene.store.send()
    assert scene.listener.told == [1]
    assert scene.committer.outstanding == 2


def test_batches_are_told_in_order_however_fast_the_store_is() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(2)
    scene.store.answer(1)
    scene.propose(1)
    scene.store.answer(2)
    assert scene.listener.told == [1]
    scene.turn()
    scene.store.answer(4)
    scene.turn()
    assert scene.listener.told == [1, 2, 3, 4]
    assert scene.committer.revision == 4


def test_what_was_answered_is_told_before_a_hub_stops() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(1)
    scene.store.answer()
    scene.committer.close()
    assert scene.listener.told == [1]


def test_a_new_log_is_asked_for_from_behind_what_was_answered() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(1)
    scene.store.answer()
    scene.committer.begin_new_log("asked for")
    assert scene.listener.told == [1]
    assert scene.store.opened_from == [0, 1]


def test_a_store_that_goes_away_does_not_take_back_what_it_answered() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(1)
    scene.store.answer()
    (_, reply) = scene.store.commits.pop()
    reply(Away("gone"))
    assert scene.listener.told == [1]
    assert scene.committer.outstanding == 1


def test_the_log_is_read_on_from_behind_what_was_answered() -> None:
    scene = Scene()
    scene.committer.grown(2)
    scene.propose(1)
    scene.turn()
    withdrawn = Proposal(_change("a"), record(), scene.listener, 0.0)
    scene.committer.propose(withdrawn)
    withdrawn.withdrawn = True
    scene.store.answer()
    scene.turn()
    assert scene.listener.told == [-1, 1]
    assert scene.store.read_from == [1]


def test_a_barrier_is_kept_until_all_before_it_was_told() -> None:
    scene = Scene()
    told: list[tuple[bool, list[int]]] = []
    scene.propose(1)
    scene.turn()
    scene.propose(1)
    scene.store.answer(1)
    scene.committer.catch_up(lambda kept: told.append((kept, [*scene.listener.told])))
    scene.store.answer(2)
    scene.turn()
    assert scene.listener.told == [1, 2]
    assert told == [], "the store has not been asked since"
    assert scene.sizes == [0]
    scene.store.answer(3)
    assert told == [(True, [1, 2])]


def test_a_writer_that_is_fenced_has_told_what_was_answered_and_keeps_the_rest() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(2)
    scene.store.answer()
    (_, reply) = scene.store.commits.pop()
    reply(Fenced())
    assert scene.listener.told == [1]
    assert scene.committer.outstanding == 2
    assert not scene.committer.open


def test_what_others_wrote_between_two_batches_is_read_from_behind_the_first() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.propose(1)
    scene.store.answer(1)
    scene.store.answer(3)
    assert scene.listener.told == [1]
    assert scene.store.read_from == [1]
    scene.turn()
    assert scene.listener.told == [1], "the second one waits for what came before it"


def test_a_store_that_is_far_away_gets_batch_after_batch_in_order() -> None:
    scene = Scene()
    for _ in range(3):
        scene.propose(1)
        scene.turn()
        assert scene.committer.outstanding == len(scene.sizes)
        scene.scheduler.advance(PAUSE)
    assert scene.sizes == [1, 1, 1]
    for revision in (1, 2, 3):
        scene.store.answer(revision)
    assert scene.listener.told == [1, 2, 3]
    assert scene.committer.revision == 3


def test_what_comes_within_a_pause_goes_together() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    for _ in range(10):
        scene.scheduler.advance(PAUSE / 20)
        scene.propose(1)
    assert scene.sizes == [1]
    scene.scheduler.advance(PAUSE)
    assert scene.sizes == [1, 10]


def test_no_more_than_sixteen_batches_are_under_way_and_the_rest_goes_on_then() -> None:
    scene = Scene()
    for _ in range(MAX_UNDER_WAY + 4):
        scene.propose(1)
        scene.scheduler.advance(PAUSE)
    assert scene.sizes == [1] * MAX_UNDER_WAY
    scene.store.answer(1)
    assert scene.sizes == [1] * (MAX_UNDER_WAY - 1) + [4]


def test_far_away_the_batches_are_spread_over_a_round_trip() -> None:
    scene = Scene()
    scene.committer.answered_in(1.6)
    sent = []
    for _ in range(1000):
        scene.propose(1)
        scene.scheduler.advance(0.001)
        sent.append(len(scene.store.commits))
    assert sent[-1] == 10, "one every tenth of a second"


def test_an_answer_that_comes_out_of_turn_waits_for_those_before_it() -> None:
    scene = Scene()
    for _ in range(2):
        scene.propose(1)
        scene.scheduler.advance(PAUSE)
    first = scene.store.commits.pop(0)
    scene.store.answer(2)
    assert scene.listener.told == []
    scene.store.commits.insert(0, first)
    scene.store.answer(1)
    assert scene.listener.told == [1, 2]


def test_when_one_batch_has_no_answer_all_behind_it_are_unknown_and_found_by_their_keys() -> None:
    scene = Scene()
    for _ in range(3):
        scene.propose(1)
        scene.scheduler.advance(PAUSE)
    scene.store.answer(1)
    (_, reply), *_ = scene.store.commits
    reply(Away("gone"))
    assert scene.listener.told == [1]
    assert scene.committer.outstanding == 2
    late = scene.store.commits[1][1]
    late(Committed(log="log", before=2, results=[Applied(3, 1)]))
    assert scene.listener.told == [1], "what was given up is found in the log, and not here"
    scene.scheduler.advance(0.06)
    assert scene.store.opened_from == [0, 1]


def test_batches_behind_one_that_was_fenced_are_sent_again_in_their_order() -> None:
    scene = Scene()
    proposals = []
    for number in range(3):
        proposal = Proposal(_change(f"agent-{number}"), record(), scene.listener, 0.0)
        proposals.append(proposal)
        scene.committer.propose(proposal)
        scene.scheduler.advance(PAUSE)
    commits, scene.store.commits = scene.store.commits, []
    commits[1][1](Fenced())
    commits[0][1](Fenced())
    assert [each.sent for each in proposals] == [0, 0, 1], "the third one was not answered"
    scene.store.opened_from.clear()  # the next opening is answered
    scene.scheduler.advance(0.06)
    ((changes, _),) = scene.store.commits
    assert [each.agent_id for each in changes] == ["agent-0", "agent-1", "agent-2"]


def test_what_others_wrote_between_batches_is_read_once_and_folded_in_its_place() -> None:
    scene = Scene()
    for _ in range(3):
        scene.propose(1)
        scene.scheduler.advance(PAUSE)
    scene.store.answer(2)  # 1 is another hub's
    scene.store.answer(4)  # and so is 3
    scene.store.answer(5)
    assert scene.listener.told == []
    assert scene.store.read_from == [0]
    entries = [LogEntry(each, "updated", b"", "other/1:1") for each in range(1, 6)]
    scene.store.readers.pop()(entries)
    assert scene.listener.order == [1, 2, 3, 4, 5]
    assert scene.listener.told == [2, 4, 5]
    assert scene.listener.foreigners == [1, 3]
    assert scene.store.read_from == [0]


def test_what_was_read_ahead_is_folded_when_nothing_is_under_way() -> None:
    scene = Scene()
    scene.committer.answered_in(0.5)
    scene.propose(1)
    scene.turn()
    scene.committer.grown(2)
    scene.scheduler.advance(PAUSE * 2)
    entries = [LogEntry(1, "updated", b"", "hub:1"), LogEntry(2, "updated", b"", "other/1:1")]
    scene.store.readers.pop()(entries)
    assert scene.listener.foreigners == [], "whether it came before or after is not known yet"
    scene.store.answer(1)
    assert scene.listener.order == [1, 2]


def test_a_log_that_lacks_what_came_before_a_batch_is_a_gap() -> None:
    scene = Scene()
    scene.propose(1)
    scene.turn()
    scene.store.answer(5)
    scene.store.readers.pop()([LogEntry(1, "updated", b"", "other/1:1")])
    assert not scene.committer.open
    assert scene.listener.order == []


def test_a_slow_round_trip_is_reported_once_and_once_more_when_it_is_over() -> None:
    scene = Scene()
    for seconds in (*[0.001] * 5, *[0.6] * 12, *[0.001] * 30):
        scene.propose(1)
        scene.turn()
        scene.scheduler.advance(seconds)
        scene.store.answer(scene.committer.revision + 1)
    (slow, over) = scene.listener.slowness
    assert slow is not None
    assert 0.25 <= slow < 0.35
    assert over is None
    assert scene.committer.round_trip.change_timeout == CHANGE_TIMEOUT


def test_a_change_may_wait_longer_for_a_store_that_is_far_away() -> None:
    scene = Scene()
    scene.committer.answered_in(1.0)
    assert scene.committer.round_trip.change_timeout == 3.0
    for _ in range(50):
        scene.committer.answered_in(60.0)
    assert scene.committer.round_trip.change_timeout == pytest.approx(5.0, abs=0.01)
