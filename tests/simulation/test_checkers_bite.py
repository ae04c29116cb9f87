"""For every checker a deliberately broken rule, which it catches within a few seeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET, structs

from actors.agent import actor, fencing, foreign, ownership, record_writer, registering, settlement
from actors.agent.actor import AgentActor
from actors.agent.outcomes import Acknowledged
from actors.agent.parts import AgentParts
from actors.agent.record_writer import RecordWriter
from actors.cluster import replica
from actors.cluster.mass_loss import NEVER, MassLossGuard, Population
from actors.cluster.replica import Replica
from actors.cluster.rollback import RollbackDetector
from actors.cluster.successors import Successors
from actors.namespace.supervisor import Supervisor
from actors.ports.store import Applied, Change, LogEntry, Renewal, Stored
from actors.rules.liveness import Liveness
from actors.rules.owners import Owners
from actors.rules.takeovers import Takeovers
from actors.rules.told_times import ToldTimes
from actors.runtime import turns
from actors.session.session import Session
from actors.watch import watch as watch_module
from actors.watch.feed import Feed
from actors.watch.history import History, LogEvent
from actors.watch.readings import Readings
from actors.watch.watch import Watch
from homeport_protocol.record import AgentRecord
from tests.history.checks import CHECKS
from tests.simulation.campaign import run_seed
from tests.simulation.storage import SimStore
from tests.support import model_store
from tests.support.model_store import ModelStore

SEEDS = 120
"""Seeds within which a broken rule must have been found."""

Break = Callable[[pytest.MonkeyPatch], None]
BROKEN: dict[str, list[Break]] = {}


def catches(checker: str) -> Callable[[Break], Break]:
    def keep(broken: Break) -> Break:
        BROKEN.setdefault(checker, []).append(broken)
        return broken

    return keep


@catches("watch_is_ordered")
def events_are_repeated(patch: pytest.MonkeyPatch) -> None:
    """A watch that resumes receives the last change again that it saw."""
    follow = Feed.follow

    def broken(self: Feed, watch: Watch, since: int | None) -> Any:
        return follow(self, watch, None if since is None else max(0, since - 1))

    patch.setattr(Feed, "follow", broken)


@catches("watch_has_no_gap")
def the_feed_skips_entries(patch: pytest.MonkeyPatch) -> None:
    publish = Watch.publish

    def broken(self: Watch, entry: Any) -> None:
        if entry.revision % 17:
            publish(self, entry)

    patch.setattr(Watch, "publish", broken)


@catches("watch_has_no_gap")
def what_is_trimmed_by_its_bytes_is_thought_to_be_there(patch: pytest.MonkeyPatch) -> None:
    """A log that is trimmed by bytes says that it reaches back as far as by count alone."""

    def broken(self: History, since: int) -> bool:
        return max(0, self._revision - self._length) <= since <= self._revision

    patch.setattr(History, "reaches", broken)


@catches("watch_keeps_to_its_kinds")
def some_events_are_sent_whatever_their_kind(patch: pytest.MonkeyPatch) -> None:
    publish = Watch.publish

    def broken(self: Watch, event: LogEvent) -> None:
        kinds = self._kinds
        if event.revision % 5 == 0:
            self._kinds = None
        publish(self, event)
        self._kinds = kinds

    patch.setattr(Watch, "publish", broken)


@catches("drained_is_told_late")
def a_drain_is_told_as_every_loss(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(watch_module, "_only_lost", lambda _event: False)


@catches("watch_resumes")
def any_log_is_taken_for_the_one_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Feed, "reaches", lambda self, log, since: self._history.reaches(since))


@catches("watch_gives_the_directory")
def snapshots_lack_an_agent(patch: pytest.MonkeyPatch) -> None:
    send = Watch.send_snapshot

    def broken(self: Watch, agents: list[bytes], *at: Any) -> None:
        send(self, agents[1:], *at)

    patch.setattr(Watch, "send_snapshot", broken)


@catches("same_revision_same_event")
def foreign_changes_are_retold(patch: pytest.MonkeyPatch) -> None:
    """A hub makes another hub's events its own."""
    foreign = Replica.foreign

    def broken(self: Replica, entry: LogEntry) -> None:
        record = entry.record.replace(b'"version":"', b'"version":"x', 1)
        foreign(self, structs.replace(entry, record=record))

    patch.setattr(Replica, "foreign", broken)


@catches("no_watch_goes_on_over_a_loss")
def positions_are_taken_for_revisions(patch: pytest.MonkeyPatch) -> None:
    """A watch resumes wherever the log has come to the position's revision."""
    patch.setattr(Feed, "holds", lambda self, at: self.reaches(at.log, at.revision))


@catches("losses_are_told")
def what_watchers_know_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RollbackDetector, "judge", lambda self, position: None)


@catches("losses_are_told")
def any_position_is_taken_for_a_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Feed, "contradicts", lambda self, position: True)
    patch.setattr(Feed, "follows", lambda self, position: False)


@catches("acknowledged_is_logged")
def updates_are_acknowledged_before_the_store_answers(patch: pytest.MonkeyPatch) -> None:
    modify = AgentActor._update

    def broken(self: AgentActor, ask: Any) -> None:
        log = self.context._replica.revision + 1  # type: ignore[attr-defined]
        ask.reply(Acknowledged(log, True, self.context.timestamp()))
        modify(self, structs.replace(ask, reply=lambda outcome: None))

    patch.setattr(AgentActor, "_update", broken)


@catches("acknowledged_is_kept")
def resuming_forgets_what_was_updated(patch: pytest.MonkeyPatch) -> None:
    resume = registering.resume

    def broken(agent: AgentParts, ask: Any) -> None:
        changes = structs.replace(ask.changes, version="0")
        resume(agent, structs.replace(ask, changes=changes))

    patch.setattr(registering, "resume", broken)


@catches("heard_is_kept")
def changes_that_nobody_waits_for_are_undone(patch: pytest.MonkeyPatch) -> None:
    """They may carry what was acknowledged as not durable before."""
    applied = settlement._applied

    def broken(agent: AgentParts, change: Change, record: AgentRecord) -> None:
        before, unasked = agent.writer.committed, not agent.asks.under_way
        applied(agent, change, record)
        made, writer = agent.writer.current, agent.writer
        undoes = unasked and change.operation in ("write", "restore") and writer.proposal is None
        if undoes and before is not None and made is not None and made.load != before.load:
            writer.write(structs.replace(made, load=before.load), agent.monitor.liveness)

    patch.setattr(settlement, "_applied", broken)


@catches("refused_never_happens")
def what_was_sent_is_refused_as_if_it_had_not_been(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "unknown_outcome", settlement.not_sent)


@catches("epochs_only_rise")
def the_store_gives_epochs_twice(patch: pytest.MonkeyPatch) -> None:
    apply = ModelStore.apply

    def broken(self: ModelStore, change: Change | Renewal) -> Any:
        if (
            isinstance(change, Change)
            and change.operation == "resume"
            and change.agent_id in self.entries
        ):
            change = structs.replace(change, operation="restore")
        return apply(self, change)

    patch.setattr(ModelStore, "apply", broken)


@catches("epochs_only_rise")
def epochs_are_counted_from_what_is_stored(patch: pytest.MonkeyPatch) -> None:
    """So that a store that came back older gives them again."""
    patch.setattr(SimStore, "epochs_by_clock", False)


@catches("no_stale_write")
def the_store_ignores_epochs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model_store, "_refuse", lambda change, stored, revision: None)
    patch.setattr(ownership, "overtaken", lambda agent, news: None)


@catches("fenced_in_time")
def sessions_are_not_told_that_they_are_fenced(patch: pytest.MonkeyPatch) -> None:
    end = Session.end

    def broken(self: Session, code: Any, reason: str) -> None:
        if code != 4409:
            end(self, code, reason)

    patch.setattr(Session, "end", broken)


@catches("older_process_changes_nothing")
def callers_over_http_are_taken_at_their_word(patch: pytest.MonkeyPatch) -> None:
    for module in (fencing, actor, settlement):
        patch.setattr(module, "refusal_over_http", lambda agent, record, ask: None)


@catches("takeovers_come_to_rest")
def every_takeover_is_granted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Takeovers, "refuse", lambda self, agent_id, now: None)


@catches("exclusive_takes_nothing")
def nobody_asks_whether_another_session_lives(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registering, "_lives", lambda agent: False)


@catches("exclusive_takes_nothing")
def the_store_grants_each_of_several_at_once(patch: pytest.MonkeyPatch) -> None:
    apply = ModelStore.apply

    def broken(self: ModelStore, change: Change | Renewal) -> Any:
        if isinstance(change, Change) and change.operation == "claim":
            change = structs.replace(change, operation="register")
        return apply(self, change)

    patch.setattr(ModelStore, "apply", broken)


@catches("owners_keep_their_agents")
def the_store_grants_each_principal_that_claims_an_id(patch: pytest.MonkeyPatch) -> None:
    """Of two registrations at two hubs, the later one wins, whoever it is for."""
    apply = ModelStore.apply

    def broken(self: ModelStore, change: Change | Renewal) -> Any:
        if isinstance(change, Change):
            change = structs.replace(change, only_own=False)
        return apply(self, change)

    patch.setattr(ModelStore, "apply", broken)


@catches("owners_keep_their_agents")
def callers_without_a_token_are_heard_whoever_they_are_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fencing, "refusal_of_principal", lambda agent, record, principal: None)


@catches("owners_keep_their_agents")
def agents_are_put_back_as_nobodys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordWriter, "_owner", lambda self, operation, kind: None)


@catches("owners_keep_their_agents")
def a_hub_that_loads_does_not_read_whose_agents_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Owners, "load", lambda self, agent_ids, owners: None)


@catches("nobody_unreachable_early")
def lives_judge_early(patch: pytest.MonkeyPatch) -> None:
    deadline, pass_time = Liveness.deadline, Liveness.pass_time

    def sooner(timing: Any) -> Any:
        timeout = timing.heartbeat_timeout * 0.6
        return structs.replace(timing, heartbeat_timeout=timeout, heartbeat_interval=timeout / 2)

    patch.setattr(Liveness, "deadline", lambda self, timing: deadline(self, sooner(timing)))
    patch.setattr(
        Liveness, "pass_time", lambda self, now, timing: pass_time(self, now, sooner(timing))
    )


@catches("judged_by_what_was_told")
def hubs_judge_by_their_own_times(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToldTimes, "of", lambda self, agent_id: self.own)


@catches("one_event_per_silence")
def verdicts_are_written_twice(patch: pytest.MonkeyPatch) -> None:
    apply = ModelStore.apply

    def broken(self: ModelStore, change: Change | Renewal) -> Any:
        result = apply(self, change)
        if isinstance(change, Renewal) or change.kind != "status_changed":
            return result
        if b'"status":"unreachable"' in change.head and isinstance(result, Applied):
            apply(self, structs.replace(change, revision=result.revision, key="", seen=""))
        return result

    patch.setattr(ModelStore, "apply", broken)


@catches("held_in_bounds")
def any_loss_is_held_until_the_last_one_is_over(patch: pytest.MonkeyPatch) -> None:
    """As before: nothing is usual, nothing bounds what is held, and no agent has its own end."""

    def held_until(self: MassLossGuard, agent_id: str) -> float:
        return self._latest if agent_id in self._held else NEVER

    def is_unusual(self: MassLossGuard, population: Population, at: float) -> bool:
        return self._is_many(len(self._recent), population)

    patch.setattr(MassLossGuard, "held_until", held_until)
    patch.setattr(MassLossGuard, "_is_unusual", is_unusual)
    patch.setattr(MassLossGuard, "_full", False)


@catches("replaced_are_not_held")
def successors_stand_for_nobody(patch: pytest.MonkeyPatch) -> None:
    """As before: all that are lost count, though others have taken their places."""
    patch.setattr(Successors, "registered", lambda self, agent_id, role, at: None)
    patch.setattr(Successors, "lost", lambda self, agent_id, role, at: False)


@catches("every_ask_ends")
def some_heartbeats_are_never_answered(patch: pytest.MonkeyPatch) -> None:
    heartbeat, count = Supervisor.heartbeat, itertools.count(1)

    def broken(self: Supervisor, *said: Any, **how: Any) -> None:
        if next(count) % 20:
            heartbeat(self, *said, **how)

    patch.setattr(Supervisor, "heartbeat", broken)


@catches("queries_take_turns")
def queries_are_done_without_a_pause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turns, "BUDGET", 10.0)


@catches("living_are_found")
def returns_are_not_folded(patch: pytest.MonkeyPatch) -> None:
    fold = Feed.fold

    def broken(self: Feed, kind: Any, record: Any, data: bytes, key: str) -> None:
        held = self._directory.get(record.id)
        before = None if held is None else (held.record, held.data)
        fold(self, kind, record, data, key)
        if kind == "resumed" and before is not None:
            self._directory.put(*before)

    patch.setattr(Feed, "fold", broken)


@catches("removed_is_gone")
def removals_are_not_folded(patch: pytest.MonkeyPatch) -> None:
    fold = Feed.fold

    def broken(self: Feed, kind: Any, record: Any, data: bytes, key: str) -> None:
        fold(self, kind, record, data, key)
        if kind == "unregistered":
            self._directory.put(record, data)

    patch.setattr(Feed, "fold", broken)


@catches("hubs_agree")
def renewals_of_other_hubs_are_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Replica, "_renewed_elsewhere", lambda self, renewals: None)


@catches("elsewhere_counts")
def who_unregisters_elsewhere_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(foreign, "stored_deleted", lambda _agent, _news: None)
    patch.setattr(foreign, "ended_unheard", lambda _agent, _proposal: False)


@catches("elsewhere_counts")
def what_is_said_elsewhere_is_written_over(patch: pytest.MonkeyPatch) -> None:
    def broken(agent: AgentParts, stored: Stored | None) -> str:
        agent.writer.overwritten_by_others("")
        agent.writer.mark_dirty()
        return ""

    patch.setattr(foreign, "take_in", broken)


@catches("readings_are_no_events")
def loads_are_changes(patch: pytest.MonkeyPatch) -> None:
    """As it was: a load that moves is logged."""
    only_renews, kind_of = RecordWriter.only_renews, record_writer.kind_of

    def logged(old: AgentRecord, new: AgentRecord) -> Any:
        return kind_of(old, new) or ("updated" if old.load != new.load else None)

    def broken(self: RecordWriter, changes: Any, *rest: Any, **how: Any) -> bool:
        return changes.load is UNSET and only_renews(self, changes, *rest, **how)

    patch.setattr(record_writer, "kind_of", logged)
    patch.setattr(RecordWriter, "only_renews", broken)


@catches("loads_are_current")
def renewals_of_other_hubs_tell_no_load(patch: pytest.MonkeyPatch) -> None:
    def broken(record: AgentRecord, last_seen: str, load: object) -> AgentRecord:
        return structs.replace(record, last_seen=last_seen)

    patch.setattr(replica, "seen_later", broken)


@catches("newest_load_is_kept")
def what_other_hubs_read_is_overwritten(patch: pytest.MonkeyPatch) -> None:
    """A hub writes an agent that another one held as it believes it to be."""
    patch.setattr(RecordWriter, "_seen_by_others", lambda self, operation: "")
    renewals_of_other_hubs_tell_no_load(patch)


@catches("readings_reach_watchers")
def some_readings_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    moved = Readings.moved

    def broken(self: Readings, agent_id: str) -> None:
        if self._scheduler.now() % 1 < 0.7:
            moved(self, agent_id)

    patch.setattr(Readings, "moved", broken)


def test_every_checker_has_a_rule_that_it_catches() -> None:
    assert list(BROKEN) == [checker.__name__ for checker in CHECKS]


@pytest.mark.parametrize(
    ("checker", "broken"),
    [(checker, each) for checker, breaks in BROKEN.items() for each in breaks],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_a_broken_rule_is_caught(
    checker: str, broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    for seed in range(1, SEEDS + 1):
        if any(each.checker == checker for each in run_seed(seed).violations):
            return
    pytest.fail(f"{checker} noticed nothing in {SEEDS} seeds: {broken.__name__}")
