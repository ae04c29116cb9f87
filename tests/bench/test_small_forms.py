"""Each scenario in a small form, so that it cannot rot; the full ones are run by hand.

What is asserted leaves out how fast this machine is just now: goals, and the checks named in
`TIMED`, need an idle one.
"""

from __future__ import annotations

import pytest

from bench.__main__ import main
from bench.abuse.kinds import KINDS
from bench.faults.soak.leftovers import GAUGES
from bench.scenarios import SCENARIOS
from bench.speed import http_calls
from tests.bench.conftest import RUNS, Runs

pytestmark = pytest.mark.timeout(400)

TIMED = (
    "each at most 100 ms after it",
    "each `lost` was heard within 100 ms of the kill",
    "each `unreachable` within 100 ms of its deadline",
    "another hub's watchers are told within 250 ms (99th percentile)",
    "none was ever told lost or unreachable",  # a machine that stands still makes agents silent
)

ATTACKS = {kind.name: kind for kind in KINDS}


def run_of(name: str) -> str:
    """In which run a scenario is."""
    speed = [
        "heartbeats",
        "storm",
        "auth",
        "memory",
        "find",
        "http",
        "fanout",
        "death",
        "growth",
        "hubs",
    ]
    if name in speed:
        return "speed"
    if name in ATTACKS:
        return "abuse"
    return name if name in RUNS else "faults"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_holds_in_its_small_form(name: str, runs: Runs) -> None:
    report = runs.of(run_of(name)).report(name)
    broken = [each for each in report["checks"] if not each["holds"]]
    assert [each for each in broken if each["what"] not in TIMED] == []
    assert report["checks"]
    assert report["figures"] or report["goals"]
    assert not (broken and report["holds"])


@pytest.mark.parametrize("run", RUNS)
def test_the_exit_status_tells_whether_all_holds_and_is_reached(run: str, runs: Runs) -> None:
    ran = runs.of(run)
    reached = [report["holds"] for report in ran.document["reports"]]
    assert ran.status == (0 if all(reached) else 1)
    assert ran.document["holds"] is all(reached)


@pytest.mark.parametrize("name", ["heartbeats", "growth", "find", "hubs", "http"])
def test_a_load_measures_something_each_time(name: str, runs: Runs) -> None:
    report = runs.of("speed").report(name)
    assert report["goals"]
    assert all(value > 0 for goal in report["goals"] for value in goal["own"] + goal["against"])
    assert any("share of a core, load" in figure["what"] for figure in report["figures"])
    assert all(curve["points"] for curve in report["curves"])


def test_every_call_over_http_is_measured(runs: Runs) -> None:
    report = runs.of("speed").report("http")
    assert [each["what"] for each in report["goals"]] == [
        call.title for call in http_calls.CALLS.values()
    ]


def test_costs_are_told_in_figures(runs: Runs) -> None:
    figures = {each["what"]: each["value"] for each in runs.of("costs").report("costs")["figures"]}
    assert figures["Redis memory per agent"] > 300
    assert figures["renewal, batches of 256: CPU of Redis"] > 0


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_carried_out_and_its_costs_are_told(name: str, runs: Runs) -> None:
    report = runs.of("abuse").report(name)
    figures = {each["what"]: each["value"] for each in report["figures"]}
    assert figures["attacker: connections opened"] > 0
    assert figures["attacker: sent"] > 0
    assert figures["honest heartbeat until acknowledged, during"]["count"] > 10
    assert figures["memory of the hub, during"] > 10
    assert figures["open files of the hub, during"] > 10
    works = {"churn", "metadata", "unread-watches", "dear-finds"}
    assert (figures["attacker: requests done"] > 0) is (name in works)
    (goal,) = report["goals"]
    assert goal["must"] == 250
    assert any(ATTACKS[name].bounded_by in check["what"] for check in report["checks"])


def test_a_soak_judges_all_that_may_be_left_over_and_no_memory_where_it_is_short(
    runs: Runs,
) -> None:
    report = runs.of("soak").report("soak")
    assert {f"no {words} left over" for words in GAUGES.values()} <= {
        check["what"] for check in report["checks"]
    }
    assert report["goals"] == []


def test_a_hub_that_is_there_is_measured_and_left_as_it_was(runs: Runs) -> None:
    ran = runs.of("visitors")
    for report in ran.document["reports"]:
        assert [check for check in report["checks"] if not check["holds"]] == []
        assert report["goals"]
    assert [report["name"] for report in ran.document["reports"]] == [
        *("heartbeats", "growth", "find", "storm", "fanout", "http")
    ]
    assert ran.left == {0}


def test_another_server_of_the_legacy_routes_is_shown_beside(runs: Runs) -> None:
    ran = runs.of("visitors")
    goals = ran.report("http")["goals"]
    assert [(each["what"], each["baseline"] == ran.url) for each in goals] == [
        ("heartbeat", True),
        ("heartbeat", False),
        ("register", True),
        ("register", False),
    ]


def test_a_run_is_drawn(runs: Runs) -> None:
    ran = runs.of("speed")
    charts = {path.name for path in (runs.directory / "speed").iterdir()}
    assert {"goals.png", "heartbeats-latency.png", "growth-per-second-by-connections.png"} <= charts
    assert "drawn: " in ran.err


def test_a_run_compared_with_itself_has_not_changed(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(runs.directory / "result.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(runs.of("speed").out)
    for arguments, shown in (
        ([], "Nothing could be judged."),  # of so few rounds
        (["--all"], "heartbeats, 1 outstanding"),
    ):
        monkeypatch.setattr("sys.argv", ["bench", "compare", path, path, *arguments])
        assert main() == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "better" not in out
        assert "worse" not in out
        assert shown in out
