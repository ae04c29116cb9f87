"""What the namespaces of a hub report together."""

from __future__ import annotations

from typing import Any, cast

from actors.ports.conditions import Caution, Reason
from hub.process.namespaces import LOAD_TIMEOUT, Namespace, Namespaces
from hub.store.findings import Findings
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics


class Supervisor:
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.ready = False
        self.cautions: list[Caution] = []
        self.differing_hubs: list[str] = []

    def not_ready_reasons(self) -> list[Reason]:
        return [] if self.ready else [Reason("not_loaded", "not loaded")]

    def warnings(self) -> list[Caution]:
        return self.cautions

    def stats(self) -> None: ...


class Store:
    """A store in which nothing was found, until a test adds it."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.real = self

    def become_real(self, seed: bytes = b"") -> None: ...


def make(_name: str) -> Namespace:
    return Namespace(cast(Any, Supervisor()), cast(Any, Store()), 100.0)


def no_namespaces() -> Namespaces:
    metrics = Metrics("hub-1", "1.0")
    return Namespaces(make, 10, 10, metrics, LimitReports(metrics))


def test_a_namespace_that_somebody_just_named_does_not_make_the_hub_unready() -> None:
    namespaces = no_namespaces()
    cast(Any, namespaces.open("default").supervisor).ready = True
    namespaces.open("new")

    assert list(namespaces.not_ready_reasons(100.0 + LOAD_TIMEOUT / 2)) == []
    assert list(namespaces.not_ready_reasons(100.0 + LOAD_TIMEOUT)) == [
        Reason("not_loaded", "namespace new: not loaded")
    ]


def test_one_that_was_loaded_and_lost_its_store_does() -> None:
    namespaces = no_namespaces()
    supervisor = cast(Any, namespaces.open("default").supervisor)
    supervisor.ready = True
    gone = Reason("store_away", "Redis: gone")
    supervisor.not_ready_reasons = lambda: [gone]

    assert list(namespaces.not_ready_reasons(100.0)) == [gone]


def test_a_warning_is_told_with_its_namespace() -> None:
    namespaces = no_namespaces()
    lost, older = Caution("mass_loss", "many are lost"), Caution("store_rolled_back", "older")
    cast(Any, namespaces.open("default").supervisor).cautions = [lost]
    cast(Any, namespaces.open("blue").supervisor).cautions = [lost, older]

    assert list(namespaces.warnings()) == [
        lost,
        Caution("mass_loss", "namespace blue: many are lost"),
        Caution("store_rolled_back", "namespace blue: older"),
    ]


def test_hubs_with_other_times_are_told_once_and_not_for_each_namespace() -> None:
    namespaces = no_namespaces()
    for name in ("default", "blue"):
        cast(Any, namespaces.open(name).supervisor).differing_hubs = ["hub b has other times"]

    assert list(namespaces.warnings()) == [Caution("hubs_differ", "hub b has other times")]


def test_what_no_hub_wrote_is_told_with_its_namespace() -> None:
    namespaces = no_namespaces()
    namespaces.open("default").store.findings.no_record(b"agent:x")
    namespaces.open("blue").store.findings.set_aside(b"{blue}:agent:y", b"{blue}:set-aside:1")

    first, second = (each.phrase for each in namespaces.warnings())
    assert first.startswith("the Redis key agent:x holds no record")
    assert second.startswith("namespace blue: the Redis key {blue}:agent:y held no record")
