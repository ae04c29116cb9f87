"""When long-lived objects are excluded from garbage collection."""

from __future__ import annotations

import gc

import pytest

from hub.process.garbage import FREEZE_STEP, GarbageCollection


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the collector, which does nothing."""
    asked: list[str] = []
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(gc, name, lambda name=name: asked.append(name))
    return asked


def test_what_was_loaded_is_collected_once_and_then_frozen(done: list[str]) -> None:
    GarbageCollection().freeze_loaded()
    assert done == ["collect", "freeze"]


def test_objects_are_frozen_by_hundreds_and_unfrozen_when_half_have_gone(done: list[str]) -> None:
    garbage = GarbageCollection()
    for held in (1, FREEZE_STEP, FREEZE_STEP + 1, FREEZE_STEP + 2, 2 * FREEZE_STEP + 1):
        garbage.adapt(held)
    assert done == ["freeze"]
    garbage.adapt(2 * FREEZE_STEP + 2)
    assert done == ["freeze", "freeze"]
    garbage.adapt(FREEZE_STEP + 1)
    assert done == ["freeze", "freeze"]
    garbage.adapt(FREEZE_STEP)
    assert done == ["freeze", "freeze", "unfreeze"]
    garbage.adapt(FREEZE_STEP)
    assert done == ["freeze", "freeze", "unfreeze"]
