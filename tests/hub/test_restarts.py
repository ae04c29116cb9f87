"""Pauses between the starts of a process that keeps ending."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from hub.errors import HubError
from hub.restarts import PAUSES, STEADY, Restarter
from hub.telemetry import logs


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause, none of which is waited for."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return pauses


class Process:
    """Fails to start with each of `failures`, then starts."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.started = 0

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.started += 1


def restarter(process: Process) -> Restarter:
    return Restarter(process.start, logs.get("test"), "it could not be started again")


async def test_it_is_started_at_once_and_then_after_ever_longer_pauses(paused: list[float]) -> None:
    process = Process()
    kept = restarter(process)
    for _ in range(len(PAUSES) + 2):
        await kept.restart(1.0)
    assert paused == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    assert process.started == len(PAUSES) + 2


async def test_the_pauses_begin_anew_once_it_has_served_for_a_while(paused: list[float]) -> None:
    kept = restarter(Process())
    for served in (1.0, 1.0, STEADY, STEADY + 1, 1.0):
        await kept.restart(served)
    assert paused == [*PAUSES[:3], *PAUSES[:2]]


async def test_it_is_tried_until_it_starts_and_each_failure_is_logged(paused: list[float]) -> None:
    process = Process(HubError("the disk is full"), RuntimeError("a bug"))
    with capture_logs() as logged:
        await restarter(process).restart(1.0)
    assert process.started == 1
    assert paused == [*PAUSES[:3]]
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("it could not be started again", "error")
    ] * 2
    assert logged[0]["error"] == "the disk is full"
    assert logged[1]["exc_info"]
