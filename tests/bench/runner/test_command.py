"""The command line of the bench, with scenarios of the test's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from bench.errors import BenchError
from bench.results.document import Result
from bench.results.report import Report
from bench.runner.command import run
from bench.scenario import Scenario
from bench.scenarios import GROUPS, SCENARIOS, named

ROOT = Path(__file__).parents[3]

Rounds = Annotated[int, Meta(ge=1, le=9, description="rounds; the medians count")]
Seconds = Annotated[float, Meta(gt=0, description="seconds of each")]


class Options(Struct, frozen=True, kw_only=True):
    rounds: Rounds = 2
    url: Annotated[str, Meta(description="a hub that is there already")] = ""


class Timed(Struct, frozen=True, kw_only=True):
    rounds: Annotated[float, Meta(description="agents, one after the other")] = 3.0
    seconds: Seconds = 1.5


async def _beats(options: Options, report: Report) -> None:
    report.goal("beats", [2.0] * options.rounds, [1.0] * options.rounds, unit="/s", baseline="b")


async def _finds(options: Timed, report: Report) -> None:
    report.check("all were found", True)


async def _fails(options: Options, report: Report) -> None:
    try:
        raise ExceptionGroup("side by side", [BenchError("the hub did not start")])
    finally:
        pass


async def _breaks(options: Options, report: Report) -> None:
    raise ZeroDivisionError("division by zero")


async def _is_interrupted(options: Options, report: Report) -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind, runs in (
        ("beats", Options, _beats),
        ("finds", Timed, _finds),
        ("fails", Options, _fails),
        ("breaks", Options, _breaks),
        ("interrupted", Options, _is_interrupted),
    ):
        monkeypatch.setitem(SCENARIOS, name, Scenario(name, f"the title of {name}", kind, runs))


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_a_bare_call_lists_every_scenario_by_group_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    for group in GROUPS:
        assert f"{group.name}: {group.title}" in lines
        for each in group.scenarios:
            assert len([line for line in lines if line.split() == line_of(each)]) == 1


def line_of(scenario: Scenario) -> list[str]:
    return [scenario.name, *scenario.title.split()]


def test_every_name_of_scenarios_and_groups_means_something_else() -> None:
    names = [each.name for group in GROUPS for each in group.scenarios]
    assert len(names) == len(set(names))
    for group in GROUPS:
        assert named(group.name) == group.scenarios
        if group.name in names:
            assert [each.name for each in group.scenarios] == [group.name]
    assert set(names) <= {each.name for each in named("all")}


def test_every_option_of_every_scenario_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name, scenario in SCENARIOS.items():
        with pytest.raises(SystemExit) as end:
            run([name, "--help"])
        assert end.value.code == 0
        words = capsys.readouterr().out
        for option in scenario.options.__struct_fields__:
            assert f"--{option.replace('_', '-')}" in words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["perpetual-motion"], "there is no scenario 'perpetual-motion'; there are: "),
        (["beats", "perpetual-motion"], "there is no scenario 'perpetual-motion'"),
        (["--rounds", "3"], "names of scenarios come before options"),
    ],
)
def test_a_name_that_is_none_is_wrong_usage(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["beats", "--seconds", "3"], "unrecognized arguments: --seconds 3"),
        (["beats", "--round", "3"], "unrecognized arguments: --round 3"),
        (["beats", "--rounds", "many"], "beats does not take --rounds many: expected `int`"),
        (["beats", "--rounds", "0"], "does not take --rounds 0: expected `int` >= 1"),
        (["beats", "finds", "--rounds", "1.5"], "beats does not take --rounds 1.5: expected `int`"),
        (["beats", "--rounds", "1", "finds"], "unrecognized arguments: finds"),
        (["compare", "one.json"], "the following arguments are required: B.json"),
        (
            ["heartbeats", "--url", "hub.example"],
            "--url hub.example: expected something like http://127.0.0.1:8080",
        ),
        (["find", "--fleets", "100,5"], "--fleets 100,5: expected something like 100,1000 (20"),
        (["http", "--only", "get,teleport"], "--only get,teleport: expected something like heart"),
    ],
)
def test_an_option_that_none_has_or_takes_is_wrong_usage(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(arguments)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err


def test_of_several_each_takes_the_options_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["beats", "finds", "--rounds", "4", "--seconds", "0.5", "--json"]) == 0
    beats, finds = document(capsys)["reports"]
    assert beats["options"] == {"rounds": 4, "url": ""}
    assert finds["options"] == {"rounds": 4.0, "seconds": 0.5}


def test_an_option_that_means_something_else_to_each_says_what_to_which(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run(["beats", "finds", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "rounds; the medians count (of: beats); agents, one after the other (of: finds)" in words


def test_a_name_that_is_given_twice_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["beats", "beats", "--json"]) == 0
    assert len(document(capsys)["reports"]) == 1


def test_the_document_can_be_decoded_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["beats", "finds", "--json"]) == 0
    out = capsys.readouterr().out
    result = msgspec.json.decode(out, type=Result)

    assert result.as_json().decode() == out.strip()
    assert result.holds
    assert json.loads(out)["holds"] is json.loads(out)["reports"][0]["holds"] is True
    assert {*result.versions} == {
        *("websockets", "uvloop", "msgspec", "redis", "uvicorn", "starlette", "store")
    }
    assert all(result.versions.values())
    assert result.cores >= 1
    in_a_checkout = (ROOT / ".git").exists() and shutil.which("git") is not None
    assert (result.commit is not None) is in_a_checkout
    assert result.reports[0].goals[0].median == 2.0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fails", "the hub did not start"),
        ("breaks", "ZeroDivisionError: division by zero"),
    ],
)
def test_one_that_cannot_be_run_loses_nothing_of_the_others(
    name: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["beats", name, "finds", "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [each["name"] for each in found["reports"]] == ["beats", "finds"]
    assert found["failures"] == [{"name": name, "why": why}]
    assert found["holds"] is False
    assert f"{name}: {why}" in err

    assert run(["beats", name]) == 1
    out = capsys.readouterr().out
    assert f"{name} could not be run: {why}" in out
    assert "NOT everything holds: 1 could not be run" in out


def test_an_interruption_prints_what_was_finished(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["beats", "interrupted", "finds", "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [each["name"] for each in found["reports"]] == ["beats"]
    assert (found["interrupted"], found["holds"]) == (True, False)
    assert "interrupted; everything that was started has been ended" in err


def test_an_interruption_before_anything_was_finished_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["interrupted"]) == 1
    assert capsys.readouterr().out == ""


def test_what_goes_on_is_told_in_plain_lines_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["beats", "finds", "--json"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "… 1 of 2: beats (the title of beats)",
        "… 2 of 2: finds (the title of finds)",
    ]
