"""What the namespaces of a hub report together."""

from __future__ import annotations

from typing import Any, cast

from hub.process.namespaces import LOAD_TIMEOUT, Namespace, Namespaces
from hub.store.findings import Findings
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics


class Supervisor:
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.ready = False
        self.loss: str | None = None
        self.rollback: str | None = None
        self.differing_hubs: list[str] = []
        self.slowness: str | None = None

    def not_ready_reasons(self) -> list[str]:
        return [] if self.ready else ["not loaded"]

    def stats(self) -> None: ...


class Store:
    """A store in which nothing was found, until a test adds it."""

    def __init__(self) -> None:
        self.findings = Findings()


def make(_name: str) -> Namespace:
    return Namespace(cast(Any, Supervisor()), cast(Any, Store()), 100.0)


def no_namespaces() -> Namespaces:
    metrics = Metrics("hub-1", "1.0")
    return Namespaces(make, 10, metrics, LimitReports(metrics))


def test_a_namespace_that_somebody_just_named_does_not_make_the_hub_unready() -> None:
    namespaces = no_namespaces()
    cast(Any, namespaces.open("default").supervisor).ready = True
    namespaces.open("new")

    assert list(namespaces.not_ready_reasons(100.0 + LOAD_TIMEOUT / 2)) == []
    assert list(namespaces.not_ready_reasons(100.0 + LOAD_TIMEOUT)) == ["namespace new: not loaded"]


def test_one_that_was_loaded_and_lost_its_store_does() -> None:
    namespaces = no_namespaces()
    supervisor = cast(Any, namespaces.open("default").supervisor)
    supervisor.ready = True
    supervisor.not_ready_reasons = lambda: ["Redis: gone"]

    assert list(namespaces.not_ready_reasons(100.0)) == ["Redis: gone"]


def test_a_loss_is_told_with_its_namespace() -> None:
    namespaces = no_namespaces()
    cast(Any, namespaces.open("default").supervisor).loss = "many are lost"
    cast(Any, namespaces.open("blue").supervisor).loss = "all are lost"

    assert list(namespaces.warnings()) == ["many are lost", "namespace blue: all are lost"]


def test_a_store_that_came_back_older_is_told_with_its_namespace() -> None:
    namespaces = no_namespaces()
    cast(Any, namespaces.open("default").supervisor).rollback = "it came back older"
    cast(Any, namespaces.open("blue").supervisor).rollback = "so did this"

    assert list(namespaces.warnings()) == ["it came back older", "namespace blue: so did this"]


def test_hubs_with_other_times_are_told_once_and_not_for_each_namespace() -> None:
    namespaces = no_namespaces()
    for name in ("default", "blue"):
        cast(Any, namespaces.open(name).supervisor).differing_hubs = ["hub b has other times"]

    assert list(namespaces.warnings()) == ["hub b has other times"]


def test_what_no_hub_wrote_is_told_with_its_namespace() -> None:
    namespaces = no_namespaces()
    namespaces.open("default").store.findings.no_record(b"agent:x")
    namespaces.open("blue").store.findings.set_aside(b"{blue}:agent:y", b"{blue}:set-aside:1")

    first, second = namespaces.warnings()
    assert first.startswith("the Redis key agent:x holds no record")
    assert second.startswith("namespace blue: the Redis key {blue}:agent:y held no record")
