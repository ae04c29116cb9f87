"""What a hub counts of itself."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from actors.ports.conditions import (
    REASON_KINDS,
    WARNING_KINDS,
    Caution,
    Reason,
    meaning_of,
)
from actors.ports.observer import Stats
from homeport_protocol.bounds import KINDS
from hub.telemetry.metrics import Metrics
from tests.support.world import World


def stats(**changes: object) -> Stats:
    fields: dict[str, object] = {
        "agents": {"healthy": 3},
        "actors": 13,
        "deadlines": 14,
        "sessions": 2,
        "watches": 1,
        "revision": 99,
        "agent_bytes": 16,
        "log_bytes": 15,
        "pending_changes": 4,
        "heartbeats": 10,
        "commits": 5,
        "events": {**dict.fromkeys(KINDS, 0), "registered": 5, "expired": 6},
        "foreign_writes": {"registered": 19},
        "fenced": 7,
        "takeovers_refused": 19,
        "rollbacks": 17,
        "mailbox": 8,
        "waiting": 18,
        "hubs": 2,
        "agents_lost_at_once": 12,
        "removal_held_until": 0.0,
        "round_trip": 0.0,
        **changes,
    }
    return Stats(**fields)  # type: ignore[arg-type]


def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return read(metrics)[name, frozenset(labels.items())]


def test_the_brains_figures_are_read_when_the_scrape_comes() -> None:
    metrics = Metrics("hub-1", "1.0")
    now = [stats()]
    metrics.add_namespace("default", lambda: now[0])
    assert value(metrics, "homeport_agents", namespace="default", status="healthy") == 3
    assert value(metrics, "homeport_agents", namespace="default", status="unreachable") == 0
    expected = {
        "homeport_actors": 13,
        "homeport_deadlines": 14,
        "homeport_sessions": 2,
        "homeport_watches": 1,
        "homeport_revision": 99,
        "homeport_pending_changes": 4,
        "homeport_mailbox_messages": 8,
        "homeport_queries_waiting": 18,
        "homeport_heartbeats_total": 10,
        "homeport_changes_total": 11,
        "homeport_commits_total": 5,
        "homeport_agents_expired_total": 6,
        "homeport_sessions_fenced_total": 7,
        "homeport_takeovers_refused_total": 19,
        "homeport_rollbacks_total": 17,
    }
    for name, figure in expected.items():
        assert value(metrics, name, namespace="default") == figure
    now[0] = stats(sessions=3)
    assert value(metrics, "homeport_sessions", namespace="default") == 3


def test_the_loops_figures_are_read_when_the_scrape_comes() -> None:
    metrics = Metrics("hub-1", "1.0")
    assert value(metrics, "homeport_tasks") == value(metrics, "homeport_timers") == 0
    now = [3]
    metrics.watch_loop(tasks=lambda: now[0], timers=lambda: 2 * now[0])
    assert (value(metrics, "homeport_tasks"), value(metrics, "homeport_timers")) == (3, 6)
    now[0] = 4
    assert value(metrics, "homeport_tasks") == 4


def test_each_namespace_has_its_own_figures_until_it_is_removed() -> None:
    metrics = Metrics("hub-1", "1.0")
    metrics.add_namespace("default", stats)
    metrics.add_namespace("blue", lambda: stats(sessions=5))
    assert value(metrics, "homeport_sessions", namespace="default") == 2
    assert value(metrics, "homeport_sessions", namespace="blue") == 5
    metrics.remove_namespace("blue")
    metrics.remove_namespace("blue")
    assert b'namespace="blue"' not in metrics.text()


def test_a_hub_without_namespaces_can_be_scraped() -> None:
    assert value(Metrics("hub-1", "1.0"), "homeport_info", hub="hub-1", version="1.0") == 1


def test_http_requests_are_counted_by_route_method_and_class_of_status() -> None:
    metrics = Metrics("h", "1")
    for status in (200, 204, 404):
        metrics.http_answered("/agents/{id}", "GET", status, 0.002)
    name = "homeport_http_requests_total"
    assert value(metrics, name, route="/agents/{id}", method="GET", status="2xx") == 2
    assert value(metrics, name, route="/agents/{id}", method="GET", status="4xx") == 1


def test_a_method_that_a_caller_made_up_makes_no_label() -> None:
    metrics = Metrics("h", "1")
    metrics.http_answered("/", "BREW", 405, 0.0)
    assert b"BREW" not in metrics.text()
    name = "homeport_http_requests_total"
    assert value(metrics, name, route="/", method="other", status="4xx") == 1


def test_durations_fall_into_cumulated_buckets() -> None:
    metrics = Metrics("h", "1")
    for seconds in (0.0001, 0.001, 0.0011, 99.0):
        metrics.http_answered("/", "GET", 200, seconds)
    name = "homeport_http_request_duration_seconds"
    assert value(metrics, f"{name}_bucket", route="/", le="0.0005") == 1
    assert value(metrics, f"{name}_bucket", route="/", le="0.001") == 2
    assert value(metrics, f"{name}_bucket", route="/", le="0.0025") == 3
    assert value(metrics, f"{name}_bucket", route="/", le="5.0") == 3
    assert value(metrics, f"{name}_bucket", route="/", le="+Inf") == 4
    assert value(metrics, f"{name}_count", route="/") == 4
    assert value(metrics, f"{name}_sum", route="/") == 0.0001 + 0.001 + 0.0011 + 99.0


def test_websockets_are_counted_as_they_come_and_go() -> None:
    metrics = Metrics("h", "1")
    for _ in range(3):
        metrics.websocket_opened()
    metrics.websocket_closed(1006)
    metrics.websocket_closed(4999)
    assert value(metrics, "homeport_websocket_connections") == 1
    assert value(metrics, "homeport_websockets_opened_total") == 3
    assert value(metrics, "homeport_websockets_closed_total", code="1006") == 1
    assert value(metrics, "homeport_websockets_closed_total", code="other") == 1


def test_websocket_requests_are_counted_by_op_and_outcome_and_made_up_ones_together() -> None:
    metrics = Metrics("h", "1")
    metrics.websocket_answered("heartbeat", "ok")
    metrics.websocket_answered("heartbeat", "not_registered")
    metrics.websocket_answered("made-up-1", "unknown_op")
    metrics.websocket_answered("made-up-2", "unknown_op")
    name = "homeport_websocket_requests_total"
    assert value(metrics, name, op="heartbeat", outcome="ok") == 1
    assert value(metrics, name, op="heartbeat", outcome="not_registered") == 1
    assert value(metrics, name, op="unknown", outcome="unknown_op") == 2
    assert b"made-up" not in metrics.text()


def test_commits_are_timed_by_result_and_counted_in_changes() -> None:
    metrics = Metrics("h", "1")
    metrics.commit_finished("committed", 100, 0.004)
    metrics.commit_finished("away", 3, 2.0)
    name = "homeport_commit_duration_seconds"
    assert value(metrics, f"{name}_count", result="committed") == 1
    assert value(metrics, f"{name}_sum", result="away") == 2.0
    assert value(metrics, "homeport_commit_changes_sum") == 103
    assert value(metrics, "homeport_commit_changes_bucket", le="100.0") == 2


def test_the_loops_lag_is_never_negative() -> None:
    metrics = Metrics("h", "1")
    metrics.loop_lagged(-0.001)
    metrics.loop_lagged(0.02)
    assert value(metrics, "homeport_event_loop_lag_seconds_sum") == 0.02
    assert value(metrics, "homeport_event_loop_lag_seconds_count") == 2


def test_two_hubs_in_one_process_count_apart() -> None:
    one, two = Metrics("one", "1"), Metrics("two", "1")
    one.websocket_opened()
    assert value(two, "homeport_websocket_connections") == 0


def test_names_carry_the_prefix_and_every_family_has_help() -> None:
    metrics = Metrics("h", "1")
    metrics.add_namespace("default", stats)
    for family in text_string_to_metric_families(metrics.text().decode()):
        assert family.name.startswith(("homeport_", "process_", "python_"))
        assert family.documentation


def test_events_are_counted_by_every_kind() -> None:
    metrics = Metrics("h", "1")
    metrics.add_namespace("default", stats)
    figures = {
        kind: value(metrics, "homeport_events_total", namespace="default", kind=kind)
        for kind in KINDS
    }
    assert figures == {**dict.fromkeys(KINDS, 0), "registered": 5, "expired": 6}


def test_every_condition_has_its_series_from_the_start_and_follows_ready() -> None:
    metrics = Metrics("h", "1")
    reasons: list[Reason] = []
    warnings: list[Caution] = []
    metrics.watch_conditions(lambda: reasons, lambda: warnings)
    series = [
        *(("homeport_not_ready_reason", {"reason": kind}) for kind in REASON_KINDS),
        *(("homeport_warning", {"warning": kind}) for kind in WARNING_KINDS),
    ]
    assert value(metrics, "homeport_ready") == 1
    assert [value(metrics, name, **labels) for name, labels in series] == [0] * len(series)
    for reason in REASON_KINDS:
        reasons[:] = [Reason(reason, "so"), Reason(reason, "and so")]
        assert value(metrics, "homeport_ready") == 0
        assert sum(value(metrics, name, **labels) for name, labels in series) == 1
        assert value(metrics, "homeport_not_ready_reason", reason=reason) == 1
    reasons.clear()
    for warning in WARNING_KINDS:
        warnings[:] = [Caution(warning, "so")]
        assert value(metrics, "homeport_ready") == 1
        assert sum(value(metrics, name, **labels) for name, labels in series) == 1
        assert value(metrics, "homeport_warning", warning=warning) == 1


def test_every_condition_is_in_the_reference_with_its_word_and_meaning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference.md").read_text(encoding="utf-8")
    for name, label, kinds in (
        ("homeport_not_ready_reason", "reason", REASON_KINDS),
        ("homeport_warning", "warning", WARNING_KINDS),
    ):
        for kind in kinds:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind), "a machine word"
            assert f'| `{name}{{{label}="{kind}"}}` | {meaning_of(kind)} |' in page


def test_every_condition_that_the_code_makes_is_listed_and_every_listed_one_is_made() -> None:
    """Strict types refuse a word that is not listed; this finds a listed one that nobody uses."""
    root = Path(__file__).parents[3]
    made = {
        word
        for folder in ("actors", "hub")
        for path in (root / folder).rglob("*.py")
        for word in re.findall(
            r"\b(?:Reason|Caution)\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")
        )
    }
    assert made == {*REASON_KINDS, *WARNING_KINDS}


def test_with_many_namespaces_the_figures_of_a_hundred_are_exported() -> None:
    metrics = Metrics("hub-1", "9.9.9")
    for number in range(150):
        metrics.add_namespace(f"n{number}", World().supervisor.stats)
    text = metrics.text().decode()
    assert text.count("homeport_sessions{namespace=") == 100
    assert "homeport_namespaces 150.0" in text
    assert 'homeport_sessions{namespace="n149"}' in metrics.text("n149").decode()
