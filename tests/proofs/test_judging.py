"""The proofs can fail: what must not happen is found when it has happened."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.proofs.silence import Verdicts, judge_silences
from bench.report import Check, Report, percentile
from bench.watcher import Seen, Watcher
from protocol.record import AgentRecord, Health

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
    return Seen(at, changes.pop("revision", 1), kind, record)


def judged(signs: list[float], *events: Seen) -> Verdicts:
    verdicts = Verdicts()
    judge_silences(verdicts, signs, list(events), TIMEOUT)
    return verdicts


def wrongs(verdicts: Verdicts) -> list[str]:
    return [*verdicts.early, *verdicts.twice, *verdicts.missing, *verdicts.wrong_reason]


def test_an_agent_told_unreachable_once_after_its_deadline_is_as_it_should_be() -> None:
    verdicts = judged([0.0, 5.0, 9.0], seen(19.02))

    assert verdicts.unreachable == [pytest.approx(0.02)]
    assert wrongs(verdicts) == []


def test_unreachable_a_hair_before_the_deadline_is_early() -> None:
    assert judged([0.0, 9.0], seen(18.999)).early == ["one"]


def test_unreachable_while_signs_of_life_go_on_is_early() -> None:
    assert judged([0.0, 5.0, 10.0, 15.0], seen(12.0), seen(25.01)).early == ["one"]


def test_two_events_for_one_silence_are_one_too_many() -> None:
    assert judged([0.0], seen(10.01), seen(10.02)).twice == ["one"]


def test_a_silence_that_nobody_told_of_is_missing() -> None:
    assert len(judged([0.0]).missing) == 1


def test_a_pause_longer_than_the_timeout_is_a_silence_of_its_own() -> None:
    verdicts = judged([0.0, 30.0], seen(10.01), seen(40.01))

    assert len(verdicts.unreachable) == 2
    assert wrongs(verdicts) == []


def test_another_reason_than_silence_is_told() -> None:
    assert judged([0.0], seen(10.01, reason="connection_lost")).wrong_reason == [
        "one: connection_lost"
    ]


def test_a_watcher_finds_the_revisions_that_are_missing() -> None:
    watcher = Watcher()
    watcher.began_at = 4
    watcher.events = [seen(0.0, revision=each) for each in (5, 6, 8, 9, 9)]

    assert watcher.gaps() == [8, 9]


def test_a_report_holds_only_when_everything_does() -> None:
    report = Report(name="n", title="t", options={"agents": 3})
    report.check("one", True)
    assert report.holds
    report.check("two", False, "because")

    assert not report.holds
    assert "FAILS  two: because" in report.as_text()
    assert "NOT everything holds" in report.as_text()
    assert msgspec.json.decode(report.as_json())["holds"] is False
    assert report.checks == [Check("one", True), Check("two", False, "because")]


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(each) for each in range(1, 101)]

    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
