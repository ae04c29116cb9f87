"""A variable that begins like Homeport's and is none of them is told, with the nearest name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.settings import FIELDS
from hub.settings.variables import OTHERS, unknown_variables

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("HOMEPORT_TOKN", "HOMEPORT_TOKEN"),
        ("HOMEPORT_LGO_FORMAT", "HOMEPORT_LOG_FORMAT"),
        ("HOMEPORT_HEARTBEAT_INTERVALL", "HOMEPORT_HEARTBEAT_INTERVAL"),
        ("HOMEPORT_URLS", "HOMEPORT_URL"),
        ("homeport_url", "HOMEPORT_URL"),
    ],
)
def test_the_nearest_name_is_suggested(name: str, near: str) -> None:
    assert unknown_variables({name: "x", "PATH": "/bin"}) == [
        f"the variable {name} is not one that Homeport reads; did you mean {near}?"
    ]


def test_without_a_near_one_it_is_told_all_the_same() -> None:
    """The beginning that all share makes none near."""
    names = ["HOMEPORT_FOOBARBAZ", "HOMEPORT_NAMESPACE_ID", "HOMEPORT_XYZZY"]
    assert unknown_variables(dict.fromkeys(names, "1")) == [
        f"the variable {name} is not one that Homeport reads" for name in names
    ]


def test_those_of_settings_clients_and_tools_are_known() -> None:
    known = {field.variable for field in FIELDS.values()} | OTHERS
    assert unknown_variables(dict.fromkeys(known, "x")) == []


def test_those_that_kubernetes_sets_for_services_are_no_mistakes() -> None:
    """For services named `homeport` and `homeport-blue`."""
    links = [
        "HOMEPORT_SERVICE_HOST",
        "HOMEPORT_SERVICE_PORT",
        "HOMEPORT_SERVICE_PORT_HTTP",
        "HOMEPORT_PORT",
        "HOMEPORT_PORT_8080_TCP",
        "HOMEPORT_PORT_8080_TCP_ADDR",
        "HOMEPORT_PORT_8080_TCP_PORT",
        "HOMEPORT_PORT_8080_TCP_PROTO",
        "HOMEPORT_BLUE_SERVICE_HOST",
        "HOMEPORT_BLUE_PORT",
    ]
    assert unknown_variables(dict.fromkeys(links, "tcp://10.0.0.1:8080")) == []


def test_every_variable_that_code_or_pages_name_is_known() -> None:
    known = {field.variable for field in FIELDS.values()} | OTHERS
    for folder in ("hub", "agent_client", "bench", "docs", "examples", "deploy"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".yaml", ".service"):
                text = path.read_text(encoding="utf-8")
                named = set(re.findall(r"(?<![\w_])HOMEPORT_[A-Z][A-Z_]*[A-Z]\b", text))
                assert named <= known, f"{path}: {named - known}"
