"""The newest part of the log in memory."""

from __future__ import annotations

from actors.watch.history import History, LogEvent
from homeport_protocol.record import AgentRecord, Health


def event(revision: int, size: int = 2) -> LogEvent:
    record = AgentRecord(
        id=f"{revision:08d}-0000-4000-8000-000000000000",
        name="a",
        type="cost",
        registered_at="2026-01-01T00:00:00.000000Z",
        last_seen="2026-01-01T00:00:00.000000Z",
        health=Health("http", "healthy", "ok", "2026-01-01T00:00:00.000000Z"),
        revision=revision,
    )
    return LogEvent(revision, "updated", record, b"x" * size, None, f"hub/1:{revision}")


def revisions(history: History, since: int) -> list[int]:
    return [each.revision for each in history.after(since, 1000)]


def filled(after: int, count: int, length: int = 5) -> History:
    history = History(length, max_bytes=1_000)
    history.clear(after, "")
    for revision in range(after + 1, after + count + 1):
        history.append(event(revision))
    return history


def test_an_empty_history_reaches_exactly_its_own_revision() -> None:
    history = filled(10, 0)
    assert [since for since in range(20) if history.reaches(since)] == [10]
    assert revisions(history, 10) == []


def test_it_reaches_back_to_its_start() -> None:
    history = filled(10, 3)
    assert [since for since in range(20) if history.reaches(since)] == [10, 11, 12, 13]
    assert revisions(history, 10) == [11, 12, 13]
    assert revisions(history, 12) == [13]
    assert revisions(history, 13) == []


def test_it_keeps_the_newest_and_says_how_far_it_reaches() -> None:
    history = filled(0, 12, length=5)
    assert len(history) == 5
    assert [since for since in range(20) if history.reaches(since)] == [7, 8, 9, 10, 11, 12]
    assert revisions(history, 7) == [8, 9, 10, 11, 12]
    assert revisions(history, 11) == [12]


def test_a_history_of_no_length_reaches_nothing_but_now() -> None:
    history = filled(0, 3, length=0)
    assert [since for since in range(9) if history.reaches(since)] == [3]
    assert revisions(history, 3) == []


def test_it_keeps_no_more_bytes_than_it_may() -> None:
    history = History(length=100, max_bytes=1_000)
    dropped = [history.append(event(revision, size=300)) for revision in range(1, 6)]
    assert dropped == [False, False, False, True, True]
    assert (len(history), history.bytes) == (3, 900)
    assert [since for since in range(9) if history.reaches(since)] == [2, 3, 4, 5]
    assert history.key_at(2) == "hub/1:2"
    assert history.append(event(6, size=950))
    assert (len(history), history.bytes) == (1, 950)
    history.clear(6, "hub/1:6")
    assert history.bytes == 0


def test_an_event_larger_than_all_that_may_be_kept_is_not_kept() -> None:
    history = History(length=100, max_bytes=1_000)
    history.append(event(1, size=300))
    assert history.append(event(2, size=1_001))
    assert (len(history), history.bytes) == (0, 0)
    assert [since for since in range(9) if history.reaches(since)] == [2]


def test_a_cleared_history_reaches_its_new_revision_alone() -> None:
    history = filled(0, 5)
    history.clear(40, "a/1:7")
    assert not history.reaches(3)
    assert not history.reaches(39)
    assert history.reaches(40)
    history.append(event(41))
    assert revisions(history, 40) == [41]
    assert [history.key_at(revision) for revision in (40, 41)] == ["a/1:7", "hub/1:41"]


def test_it_knows_the_key_of_every_entry_that_it_reaches_back_to() -> None:
    history = filled(0, 12, length=5)
    reached = range(7, 13)
    assert [history.key_at(each) for each in reached] == [f"hub/1:{each}" for each in reached]
    assert filled(0, 3, length=0).key_at(3) == "hub/1:3"
