"""What a proof is."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct, to_builtins

from bench.report import Report


class Proof(Struct, frozen=True):
    """A proof: `prove` starts all it needs, finds out, and leaves nothing behind.

    `options` is a Struct as `bench.options.parse` takes it.
    """

    name: str
    title: str
    options: type[Struct]
    prove: Callable[[Any], Awaitable[Report]]

    def report(self, options: Struct) -> Report:
        """An empty report of a run with these options."""
        return Report(name=self.name, title=self.title, options=to_builtins(options))


def say(words: str) -> None:
    """Tell who waits what is going on; results go to stdout, this does not."""
    print(f"… {words}", file=sys.stderr, flush=True)
