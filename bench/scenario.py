"""A scenario: something that can be run, and ends in a report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Struct, to_builtins

from bench.results.report import Report

S = TypeVar("S", bound=Struct)


class Scenario(Struct, frozen=True):
    """To be called with its options; it starts all it needs, and leaves nothing behind.

    `options` is a Struct as `bench.runner.options.parse` takes it. Those that can be run against
    a hub that is there already have a field `url`, those that repeat themselves a field `rounds`.
    """

    name: str
    title: str
    options: type[Struct]
    fill: Callable[[Any, Report], Awaitable[None]]

    async def __call__(self, options: Struct) -> Report:
        """Run it with these options."""
        report = Report(name=self.name, title=self.title, options=to_builtins(options))
        await self.fill(options, report)
        return report


def scenario(
    name: str, title: str, options: type[S]
) -> Callable[[Callable[[S, Report], Awaitable[None]]], Scenario]:
    """Make a scenario of a function that runs it and notes in the report what it finds out."""
    return lambda fill: Scenario(name, title, options, fill)
