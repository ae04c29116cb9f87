"""The hub's metrics, for Prometheus.

The brain's figures are read from `Supervisor.stats()` at each scrape. Those of sockets, store and
event loop are counted here as they happen, in plain dicts, because a heartbeat must stay cheap.
Everything runs on the event loop's thread. Apart from the namespace, no label has a value that a
caller can choose freely, such as an agent's id.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from actors.limits import LimitName
from actors.ports.conditions import REASON_KINDS, WARNING_KINDS, Caution, Reason
from actors.ports.observer import Stats
from homeport_protocol.bounds import STATUSES
from homeport_protocol.errors import ERROR_CODES, CloseCode
from homeport_protocol.requests import OPS
from hub.telemetry.figures import INFO, Family, figures_of

LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the latency histograms' buckets, in seconds."""

EXPORTED = 100
"""Namespaces whose figures are exported together; those of one are there for who asks for it."""

BATCH_BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
"""Upper bounds of the buckets for changes per commit."""

AuditResult = Literal["taken", "lost"]

CommitResult = Literal["committed", "fenced", "away"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OUTCOMES = frozenset(ERROR_CODES) | {"ok"}
_CLOSE_CODES = frozenset(int(code) for code in CloseCode) | {1005, 1006}

_GAUGES = {
    "actors": ("homeport_actors", "Actors: agents that this hub owns, or is asked about."),
    "deadlines": ("homeport_deadlines", "Deadlines of agents that are scheduled."),
    "sessions": ("homeport_sessions", "Open websocket sessions."),
    "watches": ("homeport_watches", "Open watches."),
    "revision": ("homeport_revision", "Revision of the directory."),
    "agent_bytes": ("homeport_agent_bytes", "Bytes of the records of all agents."),
    "log_bytes": ("homeport_log_bytes", "Bytes of the directory changes kept in memory."),
    "pending_changes": (
        "homeport_pending_changes",
        "Changes that wait for the store, those that heartbeats reported among them.",
    ),
    "hubs": ("homeport_hubs", "Living hubs of the cluster, this one among them."),
    "agents_lost_at_once": (
        "homeport_agents_lost_at_once",
        "Unreachable agents whose removal is held, because many were lost at once.",
    ),
    "removal_held_until": (
        "homeport_removal_held_until_timestamp_seconds",
        "Unix time by which the last of them may be removed at the latest; 0 without any.",
    ),
    "waiting": ("homeport_queries_waiting", "Pieces of queries' work that wait for their turn."),
    "round_trip": (
        "homeport_store_round_trip_seconds",
        "Time that the store takes to answer, smoothed over the last commits and lease renewals.",
    ),
    "mailbox": ("homeport_mailbox_messages", "Messages that wait in actors' mailboxes."),
}
_COUNTERS = {
    "heartbeats": ("homeport_heartbeats", "Heartbeats taken."),
    "changes": ("homeport_changes", "Changes of the directory that this hub wrote."),
    "commits": ("homeport_commits", "Batches of changes and renewals that this hub wrote."),
    "expired": (
        "homeport_agents_expired",
        "Agents that this hub removed because their lease ran out.",
    ),
    "rollbacks": (
        "homeport_rollbacks",
        "Times that the store turned out to have come back older while no hub was alive.",
    ),
    "fenced": ("homeport_sessions_fenced", "Sessions cut off by a newer one of the same agent."),
    "takeovers_refused": (
        "homeport_takeovers_refused",
        "Registrations refused because several programs take one id from each other.",
    ),
}


class Histogram:
    """Observations by bucket; a bucket counts values up to and including its bound."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Add the counts, cumulated as Prometheus expects them."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
        family.add_metric(labels, buckets=buckets, sum_value=self._sum)


Authentication = Literal[
    "accepted", "legacy", "missing", "malformed", "unknown", "revoked", "expired", "unavailable"
]
"""How it ended that a caller showed who it is; `legacy` where it showed nothing and was taken as a
caller of the legacy service, `unavailable` where the store had to be asked and
was away."""

AUTHENTICATIONS: tuple[Authentication, ...] = get_args(Authentication)


class Metrics:
    """The metrics of one hub process. Every method is cheap, and none raises."""

    def __init__(self, hub_id: str, version: str) -> None:
        self._identity = {"hub": hub_id, "version": version}
        self._namespaces: dict[str, Callable[[], Stats]] = {}
        self._reasons: Callable[[], list[Reason]] = list
        self._warnings: Callable[[], list[Caution]] = list
        self._tasks: Callable[[], int] = int
        self._timers: Callable[[], int] = int
        self._unsent: Callable[[], int] = int
        self._http: Counter[tuple[str, str, str]] = Counter()
        self._http_seconds: dict[str, Histogram] = {}
        self._websocket: Counter[tuple[str, str]] = Counter()
        self._closed: Counter[str] = Counter()
        self._authentications = Counter[str](dict.fromkeys(AUTHENTICATIONS, 0))
        self._audited = Counter[str](dict.fromkeys(get_args(AuditResult), 0))
        self._opened = 0
        self._connections = 0
        self._commit_seconds: dict[str, Histogram] = {}
        self._commit_changes = Histogram(BATCH_BOUNDS)
        self._loop_lag = Histogram(LATENCY_BOUNDS)
        self._limits = Counter[str](dict.fromkeys(get_args(LimitName), 0))
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_HubCollector(self._families))

    def add_namespace(self, name: str, stats: Callable[[], Stats]) -> None:
        """Export the figures of a namespace from now on; `stats` is called at each scrape."""
        self._namespaces[name] = stats

    def remove_namespace(self, name: str) -> None:
        """Stop the export of a namespace's figures."""
        self._namespaces.pop(name, None)

    def watch_conditions(
        self, reasons: Callable[[], list[Reason]], warnings: Callable[[], list[Caution]]
    ) -> None:
        """Export what `/ready` says; both functions are called at each scrape."""
        self._reasons, self._warnings = reasons, warnings

    def watch_loop(self, tasks: Callable[[], int], timers: Callable[[], int]) -> None:
        """Export the numbers of tasks and timers; both functions are called at each scrape."""
        self._tasks, self._timers = tasks, timers

    def watch_unsent(self, unsent: Callable[[], int]) -> None:
        """Export the unsent bytes; the function is called at each scrape."""
        self._unsent = unsent

    def http_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One HTTP request was answered. `route` is the path's template, never the path."""
        known = method if method in _METHODS else "other"
        self._http[route, known, f"{status // 100}xx"] += 1
        histogram = self._http_seconds.get(route)
        if histogram is None:
            histogram = self._http_seconds[route] = Histogram(LATENCY_BOUNDS)
        histogram.observe(seconds)

    def authenticated(self, result: Authentication) -> None:
        """A request or a handshake showed who sent it, or failed to."""
        self._authentications[result] += 1

    def audited(self, result: AuditResult) -> None:
        """There was a line for the audit log, and it was taken to be written, or lost."""
        self._audited[result] += 1

    def websocket_opened(self) -> None:
        """A websocket handshake was completed."""
        self._opened += 1
        self._connections += 1

    def websocket_closed(self, code: int) -> None:
        """An open websocket has ended; `code` is 1006 without a close frame."""
        self._connections -= 1
        self._closed[str(code) if code in _CLOSE_CODES else "other"] += 1

    def websocket_answered(self, op: str, outcome: str) -> None:
        """One websocket request was answered; `outcome` is `ok` or an error code."""
        if (op, outcome) not in self._websocket:  # otherwise both are known
            op = op if op in OPS else "unknown"
            outcome = outcome if outcome in _OUTCOMES else "internal"
        self._websocket[op, outcome] += 1

    def commit_finished(self, result: CommitResult, changes: int, seconds: float) -> None:
        """A batch of so many `changes` ended in the store with `result`, after `seconds`."""
        histogram = self._commit_seconds.get(result)
        if histogram is None:
            histogram = self._commit_seconds[result] = Histogram(LATENCY_BOUNDS)
        histogram.observe(seconds)
        self._commit_changes.observe(changes)

    def limited(self, setting: str) -> None:
        """A limit was applied; `setting` is its name."""
        self._limits[setting] += 1

    def loop_lagged(self, seconds: float) -> None:
        """A timer of the event loop fired so many seconds late."""
        self._loop_lag.observe(max(0.0, seconds))

    def figures(self) -> list[Family]:
        """All metrics as they are now."""
        return figures_of(self._registry)

    def text(self, namespace: str | None = None) -> bytes:
        """All metrics, in Prometheus text format 0.0.4.

        With `namespace` only its series, and which hub this is: neither the figures nor the time
        that it takes tell of any other.
        """
        if namespace is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        registry.register(_HubCollector(lambda: self._families_of(namespace)))
        return generate_latest(registry)

    def _families(self) -> Iterator[Metric]:
        yield self._info()
        yield from self._condition_families()
        exported = islice(self._namespaces.items(), EXPORTED)
        yield from self._brain_families({name: read() for name, read in exported})
        yield GaugeMetricFamily(
            "homeport_namespaces",
            f"Namespaces that this hub serves; the first {EXPORTED} have figures here.",
            value=len(self._namespaces),
        )
        yield from self._http_families()
        yield from self._websocket_families()
        yield from self._body_families()

    def _families_of(self, namespace: str) -> Iterator[Metric]:
        read = self._namespaces.get(namespace)
        yield self._info()
        if read is not None:
            yield from self._brain_families({namespace: read()})

    def _info(self) -> Metric:
        info = GaugeMetricFamily(INFO, "This hub; always 1.", labels=list(self._identity))
        info.add_metric(list(self._identity.values()), 1)
        return info

    def _brain_families(self, stats: dict[str, Stats]) -> Iterator[Metric]:
        agents = GaugeMetricFamily(
            "homeport_agents", "Agents in the directory.", labels=["namespace", "status"]
        )
        for name, each in stats.items():
            for status in STATUSES:
                agents.add_metric([name, status], each.agents.get(status, 0))
        yield agents
        for field, (metric, words) in _GAUGES.items():
            gauge = GaugeMetricFamily(metric, words, labels=["namespace"])
            for name, each in stats.items():
                gauge.add_metric([name], getattr(each, field))
            yield gauge
        for field, (metric, words) in _COUNTERS.items():
            counter = CounterMetricFamily(metric, words, labels=["namespace"])
            for name, each in stats.items():
                counter.add_metric([name], getattr(each, field))
            yield counter
        events = CounterMetricFamily(
            "homeport_events",
            "Changes of the directory that this hub wrote, by kind.",
            labels=["namespace", "kind"],
        )
        for name, each in stats.items():
            for kind, count in each.events.items():
                events.add_metric([name, kind], count)
        yield events
        foreign = CounterMetricFamily(
            "homeport_foreign_writes",
            "Agents registered, changed or deleted in Redis by a program that is no hub, or "
            "overwritten and written back.",
            labels=["namespace", "what"],
        )
        for name, each in stats.items():
            for what, count in each.foreign_writes.items():
                foreign.add_metric([name, what], count)
        yield foreign

    def _condition_families(self) -> Iterator[Metric]:
        """What `/ready` says, from the same objects; all series are there from the start."""
        reasons = {each.kind for each in self._reasons()}
        warnings = {each.kind for each in self._warnings()}
        yield GaugeMetricFamily(
            "homeport_ready", "1 while /ready answers 200, else 0.", value=int(not reasons)
        )
        not_ready = GaugeMetricFamily(
            "homeport_not_ready_reason",
            "1 while /ready gives such a reason, else 0.",
            labels=["reason"],
        )
        for reason in REASON_KINDS:
            not_ready.add_metric([reason], float(reason in reasons))
        yield not_ready
        cautions = GaugeMetricFamily(
            "homeport_warning", "1 while /ready gives such a warning, else 0.", labels=["warning"]
        )
        for warning in WARNING_KINDS:
            cautions.add_metric([warning], float(warning in warnings))
        yield cautions

    def _http_families(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "homeport_http_requests",
            "HTTP requests answered.",
            labels=["route", "method", "status"],
        )
        for labels, count in self._http.items():
            requests.add_metric(list(labels), count)
        yield requests
        seconds = HistogramMetricFamily(
            "homeport_http_request_duration_seconds",
            "Time from a request's headers to its answer.",
            labels=["route"],
        )
        for route, histogram in self._http_seconds.items():
            histogram.add_to(seconds, [route])
        yield seconds

    def _websocket_families(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "homeport_websocket_connections", "Open websockets.", value=self._connections
        )
        yield CounterMetricFamily(
            "homeport_websockets_opened", "Websocket handshakes completed.", value=self._opened
        )
        closed = CounterMetricFamily(
            "homeport_websockets_closed", "Websockets gone, by close code.", labels=["code"]
        )
        for code, count in self._closed.items():
            closed.add_metric([code], count)
        yield closed
        requests = CounterMetricFamily(
            "homeport_websocket_requests",
            "Websocket requests answered: ok, or with an error code.",
            labels=["op", "outcome"],
        )
        for labels, count in self._websocket.items():
            requests.add_metric(list(labels), count)
        yield requests

    def _body_families(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "homeport_commit_duration_seconds",
            "Time that a batch of changes took in the store.",
            labels=["result"],
        )
        for result, histogram in self._commit_seconds.items():
            histogram.add_to(seconds, [result])
        yield seconds
        changes = HistogramMetricFamily("homeport_commit_changes", "Changes in one batch.")
        self._commit_changes.add_to(changes, [])
        yield changes
        authentications = CounterMetricFamily(
            "homeport_authentications",
            "Requests and handshakes that showed who sent them, or failed to.",
            labels=["result"],
        )
        for result, count in self._authentications.items():
            authentications.add_metric([result], count)
        yield authentications
        audited = CounterMetricFamily(
            "homeport_audit_lines",
            "Lines for the audit log: taken to be written, or lost because too many waited.",
            labels=["result"],
        )
        for result, count in self._audited.items():
            audited.add_metric([result], count)
        yield audited
        limits = CounterMetricFamily(
            "homeport_limits_applied",
            "Requests refused, connections closed and changes dropped early because of a limit, "
            "by its setting.",
            labels=["setting"],
        )
        for setting, count in self._limits.items():
            limits.add_metric([setting], count)
        yield limits
        lag = HistogramMetricFamily(
            "homeport_event_loop_lag_seconds", "Lateness of the event loop's timers."
        )
        self._loop_lag.add_to(lag, [])
        yield lag
        yield GaugeMetricFamily(
            "homeport_unsent_bytes",
            "Bytes for peers that do not read as fast as the hub sends.",
            value=self._unsent(),
        )
        yield GaugeMetricFamily("homeport_tasks", "Tasks of the event loop.", value=self._tasks())
        yield GaugeMetricFamily(
            "homeport_timers", "Timers of the directory that wait.", value=self._timers()
        )


class _HubCollector(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()

    def describe(self) -> list[Metric]:
        # None in advance: registering the collector must not read the brain's figures.
        return []
