"""Scenarios can fail: what must not happen is found when it has happened."""

from __future__ import annotations

from typing import Any

import pytest

from bench.faults.cluster_lag import Change, Found, judge_changes
from bench.faults.judging import judge_directory, judge_sessions, judge_watch
from bench.faults.silence import Findings, judge_silences
from bench.peers.client_fleet import Session
from bench.peers.follower import Follower
from bench.peers.watcher import Seen, Watcher
from bench.results.report import Check, Report, percentile
from homeport_protocol.record import AgentRecord, Health

TIMEOUT = 10.0
NOW = "2026-01-01T00:00:00.000000Z"


def seen(at: float, kind: str = "status_changed", **changes: Any) -> Seen:
    health = Health("lost", "healthy", changes.pop("reason", "heartbeat_timeout"), NOW)
    record = AgentRecord(
        id="a",
        name="one",
        type="silent",
        registered_at=NOW,
        last_seen=NOW,
        status=changes.pop("status", "unreachable"),
        health=health,
    )
    return Seen(at, changes.pop("revision", 1), kind, record, changes.pop("coalesced", False))


def judged(signs: list[float], *events: Seen) -> Findings:
    findings = Findings()
    judge_silences(findings, signs, list(events), TIMEOUT)
    return findings


def wrongs(findings: Findings) -> list[str]:
    return [*findings.early, *findings.twice, *findings.missing, *findings.wrong_reason]


def test_an_agent_told_unreachable_once_after_its_deadline_is_as_it_should_be() -> None:
    findings = judged([0.0, 5.0, 9.0], seen(19.02))

    assert findings.unreachable == [pytest.approx(0.02)]
    assert wrongs(findings) == []


def test_unreachable_a_hair_before_the_deadline_is_early() -> None:
    assert judged([0.0, 9.0], seen(18.999)).early == ["one"]


def test_unreachable_while_signs_of_life_go_on_is_early() -> None:
    assert judged([0.0, 5.0, 10.0, 15.0], seen(12.0), seen(25.01)).early == ["one"]


def test_two_events_for_one_silence_are_one_too_many() -> None:
    assert judged([0.0], seen(10.01), seen(10.02)).twice == ["one"]


def test_a_silence_that_nobody_told_of_is_missing() -> None:
    assert len(judged([0.0]).missing) == 1


def test_a_pause_longer_than_the_timeout_is_a_silence_of_its_own() -> None:
    findings = judged([0.0, 30.0], seen(10.01), seen(40.01))

    assert len(findings.unreachable) == 2
    assert wrongs(findings) == []


def test_another_reason_than_silence_is_told() -> None:
    assert judged([0.0], seen(10.01, reason="connection_lost")).wrong_reason == [
        "one: connection_lost"
    ]


def test_a_watcher_finds_the_revisions_that_are_missing() -> None:
    watcher = Watcher()
    watcher.began_at = 4
    watcher.events = [seen(0.0, revision=each) for each in (5, 6, 8, 9, 9)]

    assert watcher.gaps() == [8, 9]


def session(epoch: int, *, resumed: bool = True) -> Session:
    return Session("a", epoch, resumed, 1.0, "ws://127.0.0.1:1/ws")


@pytest.mark.parametrize(
    ("after", "well"),
    [
        ({"a": session(2)}, True),
        ({"a": session(1)}, False),
        ({"a": session(2, resumed=False)}, False),
        ({}, False),
    ],
)
def test_an_agent_that_did_not_resume_at_the_other_hub_is_found(
    after: dict[str, Session], well: bool
) -> None:
    report = Report(name="n", title="t", options={})
    judge_sessions(report, {"a": session(1)}, after)

    assert report.holds is well


def test_who_is_missing_unwell_or_elsewhere_is_found() -> None:
    report = Report(name="n", title="t", options={})
    judge_directory(report, {"a", "b"}, {"a": seen(0.0).agent}, {"hub-a"})

    assert [check.holds for check in report.checks] == [False, False, False]


def test_a_watch_that_missed_something_or_saw_anyone_unreachable_or_not_return_tells() -> None:
    watcher = Watcher()
    watcher.events = [seen(0.0, revision=2)]
    report = Report(name="n", title="t", options={})
    judge_watch(report, watcher, {"a"})

    assert [check.holds for check in report.checks] == [False, False, False]


def test_a_follower_that_saw_anyone_unreachable_or_a_gap_tells() -> None:
    for change in (
        {"unreachable": [seen(0.0).agent]},
        {"gaps": [4], "passed_over": 1},
        {"resyncs": 1},
    ):
        follower = Follower.__new__(Follower)
        follower.items, follower.resyncs, follower.gaps, follower.unreachable = 1, 0, [], []
        follower.coalesced, follower.passed_over = 3, 0
        for name, value in change.items():
            setattr(follower, name, value)
        report = Report(name="n", title="t", options={})
        follower.judge(report, "to a watch")

        assert not report.holds


def test_what_a_coalesced_event_may_stand_for_is_no_gap() -> None:
    watcher = Watcher()
    watcher.events = [
        seen(1.0, revision=3),
        seen(1.1, revision=5, coalesced=True),
        seen(1.2, revision=7),
        seen(1.3, revision=8),
    ]

    assert watcher.gaps() == [7]


def lags(told_at: float | None, **found: Any) -> list[str]:
    """What does not hold of one change, acknowledged at 1.0, told elsewhere then."""
    here, there = Watcher(), Watcher()
    here.events = [seen(1.0, revision=1)]
    there.events = [] if told_at is None else [seen(told_at, revision=1)]
    report = Report(name="n", title="t", options={})
    everything = {"lists": [0.1], "looks": 1, **found}
    judge_changes(report, Found(changes=[Change(0, 1, 1.0)], **everything), [here, there], 1.0)
    return [check.what for check in report.checks if not check.holds]


def test_changes_told_late_or_never_are_found() -> None:
    assert lags(1.2) == []
    assert len(lags(1.3)) == 1
    assert len(lags(None)) == 2


def test_what_is_stale_where_it_must_not_be_is_found() -> None:
    assert len(lags(1.2, stale=["agent-1"])) == 1
    assert len(lags(1.2, lists=[5.1])) == 1
    assert len(lags(1.2, gets=["agent-1"])) == 1


def test_a_report_holds_only_when_everything_does() -> None:
    report = Report(name="n", title="t", options={"agents": 3})
    report.check("one", True)
    assert report.holds
    report.check("two", False, "because")

    assert not report.holds
    assert report.checks == [Check("one", True), Check("two", False, "because")]


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(each) for each in range(1, 101)]

    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
