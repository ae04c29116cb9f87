"""Fields of the contract that the hub lists again: a forgotten one fails here, not at a user."""

from __future__ import annotations

from typing import Any, get_args

import click
import msgspec
import pytest
from starlette.datastructures import QueryParams

from actors.ports.observer import Stats
from homeport_protocol.bounds import KINDS, STATUSES, Reason
from homeport_protocol.filters import Filter
from homeport_protocol.http import LegacyRegistration
from homeport_protocol.record import AgentRecord, AgentSpec, Health
from hub.cli import tables
from hub.cli.filters import filter_options
from hub.cli.reasons import REASONS
from hub.http.query import find_query
from hub.telemetry.metrics import Metrics

SPEC = {
    "name": "cost-1",
    "type": "cost",
    "host": "10.0.0.1",
    "port": 8001,
    "capabilities": ["spot"],
    "version": "1.2",
    "metadata": {"zone": "a"},
    "status": "degraded",
    "load": 0.5,
}
"""A value other than the default for every field of a registration."""

FILTER = {
    "type": "cost",
    "name": "cost-1",
    "capabilities": ["spot"],
    "any_capability": ["csv"],
    "status": ["degraded"],
    "host": "10.0.0.1",
    "version": ">=1",
    "metadata": {"zone": "a"},
}
"""A value for every field of a filter."""

RECORD = AgentRecord(
    id="the id",
    name="the name",
    type="the type",
    host="the host",
    port=8001,
    capabilities=["the capability"],
    status="degraded",
    version="the version",
    registered_at="2026-11-23T21:44:36.000001Z",
    last_seen="2026-11-23T21:44:36.000002Z",
    metadata={"the key": "the value"},
    load=0.25,
    health=Health("websocket", "unhealthy", "the reason", "2026-11-23T21:44:36.000003Z"),
    epoch=77,
    hub="the hub",
    revision=88,
)
"""A record in which every field has a value that no other has."""


def fields(of: type[msgspec.Struct]) -> set[str]:
    return set(of.__struct_fields__)


def plain(value: msgspec.Struct) -> dict[str, Any]:
    return dict(msgspec.to_builtins(value))


def texts(value: Any) -> list[str]:
    """Every text and number within a value."""
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [str(value)]


def left_at_default(value: msgspec.Struct) -> list[str]:
    """The fields to which nothing but their default has been given."""
    return [
        field.name
        for field in msgspec.structs.fields(value)
        if getattr(value, field.name) == field.default
    ]


def test_every_field_of_a_registration_can_be_given_over_http() -> None:
    assert set(SPEC) == fields(AgentSpec)
    assert plain(msgspec.convert(SPEC, LegacyRegistration).spec()) == SPEC


def test_every_field_of_a_filter_can_be_given_in_a_query() -> None:
    assert set(FILTER) == fields(Filter)
    params = QueryParams(
        "type=cost&name=cost-1&capability=spot&any_capability=csv&status=degraded"
        "&host=10.0.0.1&version=>=1&meta.zone=a"
    )
    (found,) = find_query(params).filters
    assert plain(found) == FILTER


def test_every_field_of_a_filter_has_an_option() -> None:
    @click.command()
    @filter_options
    def command(filter: Filter) -> Filter:
        return filter

    given = command.main(
        [
            *("--type", "cost", "--name", "cost-1", "--capability", "spot"),
            *("--any-capability", "csv", "--status", "degraded", "--host", "10.0.0.1"),
            *("--version", ">=1", "--meta", "zone=a"),
        ],
        standalone_mode=False,
    )
    assert plain(given) == FILTER


def test_every_field_of_a_record_is_on_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert left_at_default(RECORD) == []
    tables.show_agent(RECORD)
    card = capsys.readouterr().out
    assert [text for text in texts(plain(RECORD)) if text not in card] == []


def test_every_reason_has_a_sentence() -> None:
    assert list(REASONS) == list(get_args(Reason))


def test_every_status_has_a_colour() -> None:
    assert set(tables.COLOURS) == set(STATUSES)


def test_every_figure_of_the_brain_is_exported() -> None:
    names = sorted(fields(Stats) - {"agents", "events", "foreign_writes"})
    figures = {name: 1000.0 + number for number, name in enumerate(names)}
    metrics = Metrics("hub-1", "1.0")
    metrics.add_namespace(
        "default",
        lambda: Stats(
            agents={"healthy": 999},
            events=dict.fromkeys(KINDS, 998),
            foreign_writes={"deleted": 998},
            **figures,  # type: ignore[arg-type]
        ),
    )
    text = metrics.text().decode()
    assert [name for name in names if f'{{namespace="default"}} {figures[name]}' not in text] == []
    assert 'status="healthy"} 999.0' in text
    assert all(f'kind="{kind}",namespace="default"}} 998.0' in text for kind in KINDS)
    assert 'homeport_foreign_writes_total{namespace="default",what="deleted"} 998.0' in text
