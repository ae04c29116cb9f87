"""What a scenario is: something that can be run, and ends in a report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct, to_builtins

from bench.results.report import Report


class Scenario(Struct, frozen=True):
    """`run` starts all it needs, finds out, and leaves nothing behind.

    `options` is a Struct as `bench.runner.options.parse` takes it. Those that can be run against
    a hub that is there already have a field `url`, those that repeat themselves a field `rounds`.
    """

    name: str
    title: str
    options: type[Struct]
    run: Callable[[Any], Awaitable[Report]]

    def report(self, options: Struct) -> Report:
        """An empty report of a run with these options."""
        return Report(name=self.name, title=self.title, options=to_builtins(options))
