"""The hub notices its own absences, by a timer that fires late or before it judges a silence."""

from __future__ import annotations

import pytest

from actors.runtime.stall_detector import StallDetector
from actors.timing import Timing
from tests.support.clock import VirtualClock

TIMING = Timing()  # checks every second, and counts a second's lateness as an absence


class Scene:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stalls: list[float] = []
        self.detector = StallDetector(self.clock, TIMING, self.stalls.append)
        self.began = self.clock.now()


def test_a_hub_that_runs_on_time_was_never_absent() -> None:
    scene = Scene()
    scene.detector.start()
    scene.clock.advance(100)
    assert scene.stalls == []
    assert not scene.detector.check()
    assert scene.detector.present_since == scene.began


@pytest.mark.parametrize(("late", "stalls"), [(0.9, []), (1.0, [1.0]), (60.0, [60.0])])
def test_a_timer_that_fires_late_tells_how_long_the_hub_was_absent(
    late: float, stalls: list[float]
) -> None:
    scene = Scene()
    scene.detector.start()
    scene.clock.sleep_through(TIMING.stall_check_interval + late)
    assert scene.stalls == pytest.approx(stalls)
    if stalls:
        assert scene.detector.present_since == scene.clock.now()


def test_a_check_without_the_timer_finds_an_absence_once() -> None:
    scene = Scene()
    scene.detector.start()
    scene.detector.stop()
    found: list[bool] = []
    scene.clock.call_at(scene.began + 5, lambda: found.append(scene.detector.check()))
    scene.clock.call_at(scene.began + 5, lambda: found.append(scene.detector.check()))
    scene.clock.sleep_through(30)
    assert found == [True, False]
    assert scene.stalls == pytest.approx([29.0])


def test_once_stopped_it_runs_no_more() -> None:
    scene = Scene()
    scene.detector.start()
    scene.detector.stop()
    scene.clock.sleep_through(60)
    assert scene.stalls == []
