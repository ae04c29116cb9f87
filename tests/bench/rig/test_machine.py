"""Who uses the machine: the bench with all that it started, or others."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from bench.rig import machine
from bench.rig.machine import Others


def test_others_are_charged_for_what_neither_the_bench_nor_its_processes_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"clock": 50.0, "busy": 1000.0, "times": os.times_result((1.0, 1.0, 2.0, 2.0, 0.0))}
    monkeypatch.setattr(machine, "time", SimpleNamespace(monotonic=lambda: now["clock"]))
    monkeypatch.setattr(machine, "busy_time", lambda: now["busy"])
    monkeypatch.setattr(os, "times", lambda: now["times"])
    others = Others()
    now["clock"] += 10.0
    now["busy"] += 12.0  # seconds of CPU in 10 s: 2 of them the bench, 7 its processes
    now["times"] = os.times_result((2.5, 1.5, 7.0, 4.0, 0.0))
    assert others.share() == pytest.approx(0.3)


def test_where_the_system_does_not_tell_others_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "busy_time", lambda: 0.0)
    assert Others().share() is None
