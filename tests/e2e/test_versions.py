"""A version specifier finds the same agents over a websocket, over HTTP and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.hub_process import Place
from tests.support.waiting import LIMIT

VERSIONS = ["1.2.0", "1.3.0rc1", "1.3.0-SNAPSHOT", "v1.4", "9f3c2ab", "release-12", ""]

FOUND = {
    "==9f3c2ab": ["9f3c2ab"],
    "==release-12": ["release-12"],
    "==1.3.0-SNAPSHOT": ["1.3.0-SNAPSHOT"],
    "!=9f3c2ab": ["1.2.0", "release-12", "v1.4"],
    ">=1.2,<2": ["1.2.0", "v1.4"],
    ">=1.3.0rc1": ["1.3.0rc1", "v1.4"],
    ">=1.3.0-SNAPSHOT": ["1.3.0-SNAPSHOT", "v1.4"],
    "==1.4": ["v1.4"],
}


@pytest.fixture
def versions(place: Place) -> Place:
    for version in VERSIONS:
        place.register(name="versioned", version=version)
    return place


@pytest.mark.parametrize("specifier", FOUND)
def test_a_specifier_finds_the_same_agents_everywhere(versions: Place, specifier: str) -> None:
    by_socket = versions.connect().ask("find", filter={"version": specifier})["agents"]
    over_http = versions.get("/agents", params={"version": specifier}).json()["agents"]
    found = [sorted(agent["version"] for agent in agents) for agents in (by_socket, over_http)]
    assert found == [FOUND[specifier]] * 2
    picked = versions.get("/agents/pick", params={"version": specifier}).json()
    assert picked["version"] in FOUND[specifier]


def test_the_command_line_finds_them_too(versions: Place) -> None:
    command = [sys.executable, "-m", "hub", "agents", "--url", versions.hub.url, "--json"]
    done = subprocess.run(
        [*command, "--namespace", str(versions.namespace), "--version", "==9f3c2ab"],
        capture_output=True,
        timeout=LIMIT,
        check=True,
    )
    assert [agent["version"] for agent in json.loads(done.stdout)["agents"]] == ["9f3c2ab"]


def test_a_specifier_that_is_none_is_refused_in_the_same_words(versions: Place) -> None:
    answer = versions.connect().ask("find", filter={"version": ">=release-12"})
    response = versions.get("/agents", params={"version": ">=release-12"})
    assert response.status_code == 400
    assert response.json()["error"] == answer["message"]
    assert answer["field"] == "filter.version"
    assert "'release-12' has no order; compare it by '==' or '!='" in answer["message"]
