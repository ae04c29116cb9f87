"""Two results side by side: what changed, what is noise, and what else may be the cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results.compare import compare
from bench.results.document import Result
from bench.runner.command import run
from tests.bench.samples import report, result

FIVE = [140.0, 150.0, 145.0, 148.0, 142.0]


def verdicts(before: Result, after: Result) -> dict[str, str | None]:
    return {each.what: each.verdict for each in compare(before, after).changes}


@pytest.mark.parametrize(
    ("after", "higher", "verdict"),
    [
        ([160.0, 151.0, 155.0], True, "better"),
        ([130.0, 139.0, 135.0], True, "worse"),
        ([160.0, 151.0, 155.0], False, "worse"),
        ([130.0, 139.0, 135.0], False, "better"),
        ([160.0, 150.0, 155.0], True, "noise"),
        ([300.0, 300.0], True, "too few rounds"),
    ],
)
def test_a_change_is_real_where_the_rounds_do_not_overlap(
    after: list[float], higher: bool, verdict: str
) -> None:
    found = verdicts(result(report(FIVE, higher=higher)), result(report(after, higher=higher)))

    assert found["beats, ours"] == found["beats, ratio to bare echo"] == verdict
    assert found["beats, bare echo"] in ("noise", "too few rounds")


def test_a_change_is_in_percent_of_the_median() -> None:
    changes = compare(result(report(FIVE)), result(report([290.0] * 5))).changes

    assert {each.what: each.change for each in changes} == {
        "beats, ratio to bare echo": pytest.approx(100),
        "beats, ours": pytest.approx(100),
        "beats, bare echo": 0,
        "agents": 0,
        "until answered": 0,
    }
    assert {each.scenario for each in changes} == {"sample"}


def test_a_figure_without_rounds_has_no_verdict() -> None:
    assert verdicts(result(report(FIVE)), result(report(FIVE)))["agents"] is None


def test_what_only_one_has_is_named() -> None:
    more = report(FIVE)
    more.figure("watchers", 3)
    found = compare(result(more), result(report(FIVE)))

    assert (found.only_before, found.only_after) == (["sample: watchers"], [])
    assert compare(result(), result(more)).changes == []


def test_results_of_unlike_machines_versions_and_options_say_so() -> None:
    before, after = result(report(FIVE)), result(report([150.0]))
    after.processor, after.cores = "another", 8
    after.versions = {"websockets": "16.0", "uvloop": None}

    assert compare(before, after).differs == [
        "processor: a processor, now another",
        "cores: 2, now 8",
        "websockets: 15.0, now 16.0",
        "sample --rounds: 5, now 1",
    ]


def test_like_results_warn_of_nothing() -> None:
    assert compare(result(report(FIVE)), result(report(FIVE))).differs == []


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_bytes(result(report(FIVE)).as_json())
    slower = result(report([each / 2 for each in FIVE]))
    slower.cores = 8
    after.write_bytes(slower.as_json())
    return str(before), str(after)


def test_a_comparison_shows_first_what_moved_beyond_noise(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *files]) == 0

    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["sample:", "beats,", "ours", "145/s", "72/s", "-50.0", "%", "worse"] in lines
    assert not any("+0.0" in words for words in lines)
    assert lines[-1][-4:] == ["--all", "shows", "every", "one."]
    assert ["cores:", "2,", "now", "8"] in lines


def test_the_first_screen_of_a_comparison_is_a_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def many(rate: float) -> Path:
        made = report(FIVE)
        for number in range(40):
            made.goal(f"call {number}", [rate * (number + 1)] * 5, unit="/s")
            made.goal(f"same {number}", [100.0] * 5, unit="/s")
        path = tmp_path / f"{rate}.json"
        path.write_bytes(result(made).as_json())
        return path

    assert run(["compare", str(many(1.0)), str(many(2.0))]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) <= 24
    assert sum(line.endswith("better") for line in out) == 10
    assert out[-1].endswith("30 that moved less are left out. --all shows every one.")


def test_results_that_differ_by_noise_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(result(report(FIVE)).as_json())
    assert run(["compare", str(path), str(path)]) == 0
    assert "Nothing moved beyond noise." in capsys.readouterr().out


def test_a_busy_machine_is_told_instead_of_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, busy = report(FIVE), report([each / 2 for each in FIVE])
    quiet.others, busy.others = 0.1, 0.11
    for before, after in ((quiet, busy), (busy, quiet)):
        found = verdicts(result(before), result(after))
        assert {found["beats, ours"], found["beats, bare echo"]} == {"machine busy"}
        assert found["agents"] is None

    paths = tmp_path / "quiet.json", tmp_path / "busy.json"
    for path, made in zip(paths, (quiet, busy), strict=True):
        path.write_bytes(result(made).as_json())
    assert run(["compare", *map(str, paths)]) == 0
    out = capsys.readouterr().out
    assert out.count("this machine was busy, so there is no verdict on: sample") == 1
    assert "Nothing could be judged." in out
    assert "worse" not in out


def test_results_of_which_nothing_can_be_judged_do_not_say_that_nothing_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(result(report([150.0, 151.0])).as_json())
    assert run(["compare", str(path), str(path)]) == 0
    out = capsys.readouterr().out
    assert "Nothing could be judged." in out
    assert "Nothing moved" not in out


def test_a_comparison_of_everything_is_a_table(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *files, "--all"]) == 0

    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["beats,", "ours", "145/s", "72/s", "-50.0", "%", "worse"] in lines
    assert ["beats,", "bare", "echo", "100/s", "100/s", "+0.0", "%", "noise"] in lines
    assert ["cores:", "2,", "now", "8"] in lines
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_comparison_can_be_had_as_json(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differs"] == ["cores: 2, now 8"]
    assert found["changes"][0]["verdict"] == "worse"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"# Homeport", "is not JSON: "),
        (b"", "is not JSON: "),
        (b"\xff\xfe", "is not JSON: "),
        (b"{}", "is no result of the bench: Object missing required field `date`"),
        (b"[1]", "is no result of the bench: Expected `object`"),
        (
            result(report(FIVE)).as_json().replace(b"[100.0,", b"["),
            "is no result of the bench: a goal has a value for each round",
        ),
    ],
)
def test_a_file_that_is_no_result_is_told_in_one_sentence(
    data: bytes, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(result().as_json())
    bad.write_bytes(data)

    assert run(["compare", str(good), str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m bench compare: {bad} {why}")
    assert len(err.splitlines()) == 1


def test_a_file_that_is_not_there_is_told(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", files[0], "nowhere.json"]) == 2
    assert "nowhere.json cannot be read: No such file or directory" in capsys.readouterr().err


def test_what_was_measured_beside_two_baselines_is_compared_with_each() -> None:
    both = report(FIVE)
    both.goal("beats", FIVE, [50.0] * 5, unit="/s", baseline="another echo")

    assert [each.what for each in compare(result(both), result(both)).changes][:5] == [
        "beats, ratio to bare echo",
        "beats, ours",
        "beats, bare echo",
        "beats, ratio to another echo",
        "beats, another echo",
    ]
