"""Rounds of examples against one hub, each from a seed; finds are told with it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy
from schemathesis import Case

from tests.fuzz.target import Found, Target

Send = Callable[[Target, Any], int]
"""Sends one example, judges the answers, and returns the number of frames, messages or requests."""


class Part(NamedTuple):
    """How examples are made, and how one is sent."""

    strategy: SearchStrategy[Any]
    send: Send


ROUND = 300
"""Examples of one round."""


@dataclass
class Report:
    """What was done."""

    what: str
    rounds: int = 0
    examples: int = 0
    sent: int = 0
    finds: list[str] = field(default_factory=list)
    grown: int = 0
    seconds: float = 0.0
    worst_stall: float = 0.0

    def __str__(self) -> str:
        finds = f"{len(self.finds)} finds" if self.finds else "nothing found"
        return (
            f"{self.sent} {self.what} in {self.examples} examples, {self.seconds:.0f} s: {finds}; "
            f"longest stall {self.worst_stall * 1000:.0f} ms, "
            f"memory {self.grown / 2**20:+.1f} MiB since the hub was warm"
        )


def fuzz(
    target: Target,
    what: str,
    parts: list[Part],
    *,
    seed: int,
    rounds: int | None = None,
    minutes: float = 0.0,
    examples: int = ROUND,
    shrink: bool = True,
) -> Report:
    """Run rounds, so many or for so long; each has the next seed.

    A find ends its round, and is reported with its seed and, unless `shrink` is off, the smallest
    example that shows it.
    """
    report = Report(what)
    began = time.monotonic()
    while report.rounds < rounds if rounds is not None else time.monotonic() - began < minutes * 60:
        for part in parts:
            find = _round(target, part, seed + report.rounds, examples, report, shrink=shrink)
            if find is not None:
                report.finds.append(find)
        if target.warm is None:
            target.note_warm()
        report.rounds += 1
    try:
        report.grown = target.check_memory()
    except Found as grown:
        report.finds.append(str(grown))
    report.worst_stall = target.worst_stall
    report.seconds = time.monotonic() - began
    return report


def _round(
    target: Target, part: Part, seed: int, examples: int, report: Report, *, shrink: bool
) -> str | None:
    """One round of one part; returns its find."""
    last: list[Any] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(part.strategy)
    def one(example: Any) -> None:
        def send() -> None:
            report.sent += part.send(target, example)

        last[:] = [example]
        report.examples += 1
        target.try_out(send)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # that an example is large
            one()
    except Exception as error:  # whatever is wrong is a find; the smallest example is the last one
        several = getattr(error, "exceptions", [error])  # or one that did not happen again
        causes = "\n".join(f"{type(each).__name__}: {each}" for each in several)
        example = _shown(last[0])
        return (
            f"seed {seed}: {causes}\nexample: {example}\n"
            f"again: python -m tests.fuzz {report.what} --seed {seed} --rounds 1"
        )
    return None


def _shown(example: Any) -> str:
    """An example so that it can be sent again by hand."""
    if isinstance(example, Case):
        return example.as_curl_command()
    if type(example) is tuple:
        return " and ".join(map(_shown, example))
    shown = repr(example)
    return shown if len(shown) < 4000 else f"{shown[:4000]}… (of {len(shown)} characters)"
