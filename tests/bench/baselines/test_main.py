"""The program that is a bare server."""

from __future__ import annotations

import pytest

from bench.baselines.__main__ import main


def test_an_unknown_baseline_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apache"]) == 2
    assert "usage: python -m bench.baselines" in capsys.readouterr().err
