"""Charts: that they are drawn, and what is said where they cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.results.plots import draw, prepare
from bench.results.report import Report
from tests.bench.samples import report, result

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_kind_of_chart_is_drawn(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "anew"
    prepare(str(directory))
    missed = report([50.0] * 3, must=None)
    missed.name = "other"
    missed.goal("longer than none", [-0.1, 0.2], unit="ms", must=3, higher=False)
    missed.latencies("of another", [0.00001, 0.5])
    drawn = draw(result(report([140.0, 150.0]), missed), str(directory))

    assert [path.name for path in drawn] == [
        "goals.png",
        "sample-latency.png",
        "sample-per-second-by-agents.png",
        "other-latency.png",
        "other-per-second-by-agents.png",
    ]
    for path in drawn:
        data = path.read_bytes()
        assert data.startswith(PNG)
        assert len(data) > 5000


def test_what_has_nothing_to_draw_draws_nothing(tmp_path: Path) -> None:
    bare = Report(name="bare", title="bare", options={})
    bare.latencies("of nobody", [])

    assert draw(result(bare), str(tmp_path)) == []


def test_without_matplotlib_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match=r"run: pip install '\.\[bench\]'"):
        prepare(str(tmp_path))


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be made: Not a directory"):
        prepare(str(tmp_path / "file" / "below"))


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "goals.png").mkdir()
    with pytest.raises(BenchError, match=r"goals\.png cannot be written: Is a directory"):
        draw(result(report([140.0])), str(tmp_path))
