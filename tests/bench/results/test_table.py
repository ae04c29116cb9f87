"""What people are shown: every figure with its spread, in a hundred columns and without colours."""

from __future__ import annotations

import sys

import pytest

from bench.errors import BenchError
from bench.results.console import output
from bench.results.document import Failure
from bench.results.report import Goal, Report
from bench.results.table import show, verdict
from tests.bench.samples import report, result


def test_a_goal_shows_medians_spreads_bounds_and_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(result(report([140.0, 150.0, 145.0])))

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("beats 145/s 100/s 1.45 ≥ 1.3 reached")
    beneath = "vs bare echo 140-150 100-100 1.40-1.50 ≥ 1.6"
    assert lines[at + 1] == beneath.replace("-", "\N{EN DASH}")
    assert "until answered median 2.00 ms, p99 3.00 ms, max 3.00 ms (of 3)" in lines
    assert "agents 1,000" in lines
    assert "(rounds 3)" in lines
    assert "holds every answer was right" in lines
    assert lines[-1] == "everything holds"


def test_a_busy_machine_is_named_instead_of_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    busy, short = report([140.0] * 3), report([100.0] * 3)
    busy.others = short.others = 0.3
    found = result(busy, short)
    show(found)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "beats 140/s 100/s 1.40 ≥ 1.3 machine busy" in lines
    used = "this machine was busy: other programs used 0.30 of a core, so no goal is judged"
    assert lines.count(used) == 2
    assert lines[-1] == "no verdict: this machine was busy, 2 goals are not judged"
    assert not found.holds


def test_a_figure_by_itself_that_is_reached_on_a_busy_machine_is_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Report(name="sample", title="a sample", options={}, others=0.3)
    made.goal("wait", [20.0], unit="ms", must=250.0, higher=False)
    show(result(made))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "wait 20.00 ms ≤ 250 ms reached" in lines
    assert lines[-1] == "everything holds"

    made.goal("slow", [300.0], unit="ms", must=250.0, higher=False)
    show(result(made))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "slow 300.00 ms ≤ 250 ms machine busy" in lines
    assert lines[-1] == "no verdict: this machine was busy, 1 goal is not judged"


def test_a_check_that_fails_is_told_on_a_busy_machine_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    busy = report([140.0] * 3)
    busy.others = 0.3
    busy.check("nothing is lost", False, "1 agent")
    show(result(busy))

    assert capsys.readouterr().out.splitlines()[-1] == "NOT everything holds: 1 not held"


def test_a_quiet_machine_gets_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = report([140.0] * 3)
    quiet.others = 0.1
    show(result(quiet))

    assert capsys.readouterr().out.splitlines()[-1] == "everything holds"


def test_a_baseline_that_reached_nothing_is_told_in_a_sentence() -> None:
    made = Report(name="sample", title="a sample", options={})
    with pytest.raises(BenchError, match="GET list: the peer reached nothing in at least one"):
        made.goal("GET list", [5.0, 5.0], [1.0, 0.0], unit="/s", baseline="the peer")


def test_a_pipe_gets_no_colours_and_a_table_of_a_hundred_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(result(report([1_234_567.0] * 5), report([0.1] * 5)))

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_terminal_too_narrow_for_words_beside_numbers_wraps_lines_rather_than_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    assert output().width == 80
    monkeypatch.setenv("COLUMNS", "140")
    assert output().width == 140


@pytest.mark.parametrize(
    ("values", "higher", "words"),
    [
        ([1.0, 2.0, 0.5], True, "short by 23 %"),
        ([1.295], True, "short by 0.4 %"),
        ([1.3], True, "reached"),
        ([1.6], True, "aim reached"),
        ([1.5], False, "over by 15 %"),
        ([1.3], False, "reached"),
        ([0.8], False, "aim reached"),
    ],
)
def test_the_verdict_is_about_the_median(values: list[float], higher: bool, words: str) -> None:
    aim = 1.6 if higher else 0.8
    assert str(verdict(Goal("beats", values, "", must=1.3, aim=aim, higher=higher))) == words


def test_an_aim_alone_is_missed_without_a_failure() -> None:
    goal = Goal("beats", [1.0], "", aim=1.6)
    assert goal.reached
    assert str(verdict(goal)) == "below aim"
    assert str(verdict(Goal("took", [1.0], "s", aim=0.8, higher=False))) == "above aim"


def test_a_figure_that_must_be_nothing_has_no_verdict() -> None:
    goal = Goal("beats", [1.0], "/s")
    assert goal.reached
    assert str(verdict(goal)) == ""


def test_what_failed_is_counted_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    bad = report([100.0] * 3)
    bad.check("none was lost", False, "3 lost")
    found = result(bad)
    found.failures.append(Failure("find", "the hub did not start"))
    show(found)

    out = capsys.readouterr().out
    assert "short by 23 %" in out
    assert "FAILS  none was lost: 3 lost" in out
    assert "find could not be run: the hub did not start" in out
    last = "NOT everything holds: 1 not reached, 1 not held, 1 could not be run"
    assert out.splitlines()[-1] == last


def test_a_goal_has_values_of_its_baseline_for_each_round() -> None:
    with pytest.raises(ValueError, match="a value for each round"):
        Goal("beats", [1.0, 2.0], "/s", baseline="bare echo", own=[1.0, 2.0], against=[1.0])
    with pytest.raises(ValueError, match="a value for each round"):
        Goal("beats", [], "/s")


def test_a_hub_that_is_there_already_is_measured_and_not_judged() -> None:
    far = Report(name="sample", title="a sample", options={"url": "http://hub:8080"})
    far.goal("beats", [1.0], [2.0], unit="/s", baseline="bare echo", must=1.3, aim=1.6)
    far.goal("memory", [99.0], unit="KB", must=12, higher=False)

    assert [(goal.must, goal.aim) for goal in far.goals] == [(None, None), (None, None)]
    assert far.holds
