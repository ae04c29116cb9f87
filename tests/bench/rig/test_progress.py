"""What is told while a scenario runs: bars at a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from bench.rig import progress as module
from bench.rig.progress import bars, progress, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_tell_now_and_then_how_far_a_thing_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAIN_EVERY", 0.0)
    with progress("heartbeats", total=4) as step:
        step()
        step(2)
        step()

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["… heartbeats", "… heartbeats: 1 of 4", "… heartbeats: 3 of 4"]


def test_a_terminal_gets_bars_that_are_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with bars(), progress("all", total=2) as outer:
        say("connecting [1,000] agents")
        with progress("heart[beats]", total=2) as inner:
            inner(2)
        outer()
        assert sys.stderr is not terminal  # nobody's words destroy the bars
    assert sys.stderr is terminal

    written = terminal.getvalue()
    assert "… connecting [1,000] agents" in written
    assert "0/2" in written
    assert "heart[beats]" in written


def test_one_that_fails_leaves_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyError), progress("heartbeats", total=2):
        raise KeyError
    with progress("again", total=1) as step:
        step()
    assert module._bars == []
