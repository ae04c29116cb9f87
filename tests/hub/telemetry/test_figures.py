"""The figures of several workers are added up as those of one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from actors.ports.conditions import Caution, Reason
from hub.telemetry.figures import (
    ADDED,
    LARGEST,
    SMALLEST,
    Family,
    Sample,
    added_up,
    as_text,
    figures_of,
    grown,
    only_namespace,
)
from hub.telemetry.metrics import Metrics
from tests.hub.telemetry.test_metrics import stats


def worker(number: int) -> Metrics:
    """A worker of two, which knows of three agents and has two sessions."""
    metrics = Metrics(f"hub-{number}", "1.0")
    metrics.add_namespace("default", lambda: stats(revision=number))
    return metrics


def value(figures: list[Family], series: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in figures
        for sample in family.samples
        if sample.name == series and sample.labels == labels
    ]
    return found


def test_every_gauge_has_a_rule_and_only_one() -> None:
    gauges = {family.name for family in worker(1).figures() if family.kind == "gauge"}
    listed = [*ADDED, *LARGEST, *SMALLEST]
    assert sorted(listed) == sorted(set(listed))
    assert gauges == set(listed)


def test_counters_and_histograms_are_added() -> None:
    one, two = worker(1), worker(2)
    for metrics, times in ((one, 3), (two, 4)):
        for _ in range(times):
            metrics.http_answered("/", "GET", 200, 0.002)
    two.http_answered("/", "GET", 404, 0.002)
    both = added_up([one.figures(), two.figures()])
    name = "homeport_http_requests_total"
    assert value(both, name, route="/", method="GET", status="2xx") == 7
    assert value(both, name, route="/", method="GET", status="4xx") == 1, "one worker alone has it"
    name = "homeport_http_request_duration_seconds"
    assert value(both, f"{name}_count", route="/") == 8
    assert value(both, f"{name}_bucket", route="/", le="0.0025") == 8
    assert value(both, f"{name}_bucket", route="/", le="0.001") == 0
    assert value(both, "homeport_heartbeats_total", namespace="default") == 20


def test_the_work_of_each_is_added_and_of_what_all_know_the_largest_counts() -> None:
    one, two = worker(1), worker(2)
    both = added_up([one.figures(), two.figures()])
    assert value(both, "homeport_sessions", namespace="default") == 4
    assert value(both, "homeport_agents", namespace="default", status="healthy") == 3
    assert value(both, "homeport_hubs", namespace="default") == 2
    assert value(both, "homeport_revision", namespace="default") == 2
    assert value(both, "homeport_info", hub="hub-1", version="1.0") == 1
    assert value(both, "homeport_info", hub="hub-2", version="1.0") == 1


def test_one_worker_that_is_not_ready_or_warns_is_enough() -> None:
    one, two = worker(1), worker(2)
    two.watch_conditions(
        lambda: [Reason("store_away", "it is away")], lambda: [Caution("mass_loss", "many")]
    )
    both = added_up([one.figures(), two.figures()])
    assert value(both, "homeport_ready") == 0
    assert value(both, "homeport_not_ready_reason", reason="store_away") == 1
    assert value(both, "homeport_not_ready_reason", reason="stopping") == 0
    assert value(both, "homeport_warning", warning="mass_loss") == 1


def test_of_a_worker_that_has_ended_its_counters_remain_and_no_gauge() -> None:
    one, two = worker(1), worker(2)
    one.websocket_opened()
    remains = grown(one.figures())
    assert {family.kind for family in remains} == {"counter", "histogram"}
    both = added_up([two.figures(), remains])
    assert value(both, "homeport_websockets_opened_total") == 1
    assert value(both, "homeport_websocket_connections") == 0
    assert value(both, "homeport_heartbeats_total", namespace="default") == 20


def test_as_text_they_are_what_prometheus_reads() -> None:
    metrics = worker(1)
    metrics.http_answered("/", "GET", 200, 0.002)
    own = list(text_string_to_metric_families(metrics.text().decode()))
    told = list(text_string_to_metric_families(as_text(metrics.figures()).decode()))
    moving = ("process_", "python_gc")
    assert [(each.name, each.type, each.documentation) for each in own] == [
        (each.name, each.type, each.documentation) for each in told
    ]
    for mine, theirs in zip(own, told, strict=True):
        if not mine.name.startswith(moving):
            assert mine.samples == theirs.samples


def test_of_nothing_there_is_nothing() -> None:
    assert added_up([]) == added_up([[], []]) == []
    assert as_text([]) == b""
    family = Family("a", "words", "counter", [Sample("a_total", {"x": "1"}, 2.0)])
    assert added_up([[], [family]]) == [family]
    assert figures_of(Metrics("h", "1")._registry)


def test_of_all_workers_metrics_those_of_one_namespace_can_be_told_apart() -> None:
    one = Metrics("hub-1", "9.9.9")
    for name in ("a", "aa", "b"):
        one.add_namespace(name, stats)
    text = only_namespace(one.text(), "a")
    series = [line for line in text.decode().splitlines() if not line.startswith("#")]
    assert {line.partition("{")[0] for line in series if "namespace=" not in line} == {
        "homeport_info"
    }
    assert all('namespace="a"' in line for line in series if "homeport_info" not in line)
    assert text == one.text("a"), "as of one hub"
    assert only_namespace(one.text(), "none") == one.text("none")
