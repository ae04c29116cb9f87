"""A table of attacks in Markdown: `python -m bench.abuse.summary BEFORE.json [AFTER.json]`.

The files are what `python -m bench abuse --json` prints, of the same hub or of two. With two each
cell has both figures, with an arrow between them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.abuse.kinds import KINDS, Kind
from bench.errors import BenchError

_CORE = "the hub's share of a core, during"
_LINES = "lines of the hub's log, during"

Read = Callable[["Attack"], str]


class Attack:
    """The report of an attack, as JSON."""

    def __init__(self, report: dict[str, Any]) -> None:
        self._values = {each["what"]: each["value"] for each in report["figures"]}
        self._checks: list[dict[str, Any]] = report["checks"]

    def value(self, what: str) -> Any:
        """A figure; raises KeyError when it is not there."""
        return self._values[what]

    def p99(self, what: str) -> str:
        """Milliseconds of 99 % of the waits."""
        value = self.value(what)
        return f"{value['p99']:,.0f}" if isinstance(value, dict) else "-"

    def growth(self, whose: str) -> str:
        """MiB that the memory grew by during the attack."""
        grown = self.value(f"memory of {whose}, during") - self.value(f"memory of {whose}, before")
        return f"{max(0.0, grown):,.0f}"

    @property
    def broken(self) -> list[str]:
        """What did not hold."""
        return [f"{each['what']}: {each['detail']}" for each in self._checks if not each["holds"]]


COLUMNS: dict[str, Read] = {
    "honest, ms": lambda a: a.p99("honest heartbeat until acknowledged, during"),
    "ping, ms": lambda a: a.p99("ping until answered, during"),
    "newcomer, ms": lambda a: a.p99("newcomer until registered, during"),
    "core, %": lambda a: f"{a.value(_CORE):.0f}",
    "hub grew, MiB": lambda a: a.growth("the hub"),
    "store grew, MiB": lambda a: a.growth("the store"),
    "open files": lambda a: f"{a.value('open files of the hub, during'):,}",
    "log, /s": lambda a: f"{a.value(_LINES):,.0f}",
}


def table(documents: Sequence[dict[str, Any]]) -> str:
    """The table, and below it what did not hold."""
    runs = [{each["name"]: Attack(each) for each in document["reports"]} for document in documents]
    rows = ["| attack | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    below: list[str] = []
    for kind in KINDS:
        found = [run[kind.name] for run in runs if kind.name in run]
        if found:
            cells = [_cell([read(each) for each in found]) for read in COLUMNS.values()]
            rows.append(f"| `{kind.name}` | " + " | ".join(cells) + " |")
            below += _broken(kind, found)
    return "\n".join([*rows, *([""] if below else []), *below])


def _cell(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else " → ".join(values)


def _broken(kind: Kind, found: list[Attack]) -> list[str]:
    words = ("before", "after") if len(found) > 1 else ("",)
    return [
        f"- `{kind.name}` {when}: {what}"
        for when, each in zip(words, found, strict=True)
        for what in each.broken
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the table of the files that are named; returns the exit status."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m bench.abuse.summary BEFORE.json [AFTER.json]", file=sys.stderr)
        return 2
    try:
        print(table([_read(each) for each in arguments]))
    except BenchError as error:
        print(f"bench.abuse.summary: {error}", file=sys.stderr)
        return 1
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(Path(path).read_bytes())
        document["reports"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is no result of the bench: {error}") from None
    return dict(document)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
