"""The metrics of several workers as one: what each of them counted, added up.

Counters and histograms are added, those of workers that have ended included, so that they never go
back when a worker starts again. What a gauge of the whole is depends on what it is about: the work
of each worker is added; of what all workers know alike (the directory, the cluster) the largest
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

INFO = "homeport_info"
"""The gauge that tells which hub it is."""

LARGEST = frozenset(
    {
        "homeport_agent_bytes",
        "homeport_agents",
        "homeport_agents_lost_at_once",
        "homeport_hubs",
        INFO,
        "homeport_log_bytes",
        "homeport_namespaces",
        "homeport_not_ready_reason",
        "homeport_removal_held_until_timestamp_seconds",
        "homeport_revision",
        "homeport_store_round_trip_seconds",
        "homeport_warning",
        "process_start_time_seconds",
        "python_info",
    }
)
"""Gauges of which the largest counts."""

SMALLEST = frozenset({"homeport_ready", "process_max_fds"})
"""Gauges of which the smallest counts."""

ADDED = frozenset(
    {
        "homeport_actors",
        "homeport_deadlines",
        "homeport_mailbox_messages",
        "homeport_pending_changes",
        "homeport_queries_waiting",
        "homeport_sessions",
        "homeport_tasks",
        "homeport_timers",
        "homeport_unsent_bytes",
        "homeport_watches",
        "homeport_websocket_connections",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)
"""Gauges that are added."""

Key = tuple[str, tuple[tuple[str, str], ...]]


class Sample(Struct, frozen=True, array_like=True):
    """One value, with the name of its series."""

    name: str
    labels: dict[str, str]
    value: float

    @property
    def key(self) -> Key:
        """What tells the series from others."""
        return self.name, tuple(sorted(self.labels.items()))


class Family(Struct, frozen=True, array_like=True):
    """A metric with all its series; `kind` is a type of Prometheus."""

    name: str
    words: str
    kind: str
    samples: list[Sample]

    @property
    def grows(self) -> bool:
        """Whether it only ever grows while a process lives."""
        return self.kind in ("counter", "histogram")


def figures_of(registry: CollectorRegistry) -> list[Family]:
    """All metrics of a process as they are now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                Sample(each.name, each.labels, float(each.value))
                for each in metric.samples
                if not each.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


def grown(figures: Iterable[Family]) -> list[Family]:
    """What remains of the figures of a process that has ended: its counters."""
    return [family for family in figures if family.grows]


def added_up(all_figures: Iterable[list[Family]]) -> list[Family]:
    """The figures of several processes as those of one."""
    families: dict[str, Family] = {}
    values: dict[str, dict[Key, float]] = {}
    for figures in all_figures:
        for family in figures:
            first = families.setdefault(family.name, family)
            combine = _rule(first)
            series = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.key
                known = series.get(key)
                series[key] = sample.value if known is None else combine(known, sample.value)
    return [
        Family(
            name,
            family.words,
            family.kind,
            [Sample(key[0], dict(key[1]), value) for key, value in values[name].items()],
        )
        for name, family in families.items()
    ]


def worker_up(answers: dict[str, bool]) -> Family:
    """Which workers, by their hub's id, told their figures."""
    return Family(
        "homeport_worker_up",
        "1 while the worker tells its figures, else 0.",
        "gauge",
        [
            Sample("homeport_worker_up", {"worker": hub_id}, float(told))
            for hub_id, told in answers.items()
        ],
    )


def as_text(figures: list[Family]) -> bytes:
    """The figures in Prometheus text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Collected(figures))
    return generate_latest(registry)


def only_namespace(text: bytes, namespace: str) -> bytes:
    """Of metrics in text format, the series of one namespace, and which hub it is."""
    label = b'namespace="%s"' % namespace.encode()
    kept: list[bytes] = []
    words: list[bytes] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(b"#"):
            words = [*words, line] if words and line.startswith(b"# TYPE") else [line]
            continue
        name, _, labels = line.partition(b"{")
        labels, _, _ = labels.rpartition(b"}")
        if name == INFO.encode() or label in labels.split(b","):
            kept += [*words, line]
            words = []
    return b"".join(kept)


def _rule(family: Family) -> Callable[[float, float], float]:
    if family.kind == "gauge" and family.name in LARGEST:
        return max
    if family.kind == "gauge" and family.name in SMALLEST:
        return min
    return float.__add__


class _Collected(Collector):
    def __init__(self, figures: list[Family]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for family in self._figures:
            metric = Metric(family.name, family.words, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)
            yield metric

    def describe(self) -> list[Metric]:
        return []
