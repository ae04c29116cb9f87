"""The command line of the bench: which scenarios to run, and how to show the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bench.results import plots
from bench.results.compare import main as compare
from bench.results.console import show_json
from bench.results.document import here
from bench.results.table import show
from bench.runner.options import parse
from bench.runner.run import run_all
from bench.scenario import Scenario
from bench.scenarios import GROUPS, SCENARIOS, named

PROGRAM = os.environ.get("_HOMEPORT_PROGRAM", "python -m bench")
"""What the user typed: `homeport bench` says so in this variable."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status, or raises BenchError."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "compare":
        return compare(arguments[1:], program=f"{PROGRAM} compare")
    names = list(arguments)
    for at, word in enumerate(arguments):
        if word.startswith("-"):
            names = names[:at]
            break
    chosen: dict[str, Scenario] = {}
    for name in names:
        meant = named(name)
        if not meant:
            return _wrong(f"there is no scenario {name!r}; there are: {', '.join(SCENARIOS)}")
        chosen.update({each.name: each for each in meant})
    if not chosen:
        return _wrong("the names of scenarios come before options")
    scenarios = list(chosen.values())
    wanted = parse(scenarios, arguments[len(names) :], program=" ".join([PROGRAM, *names]))
    if wanted.plot:
        plots.prepare(wanted.plot)
    result = here()
    run_all(result, scenarios, wanted.options)
    if result.interrupted:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
    if result.reports or result.failures:
        show_json(result.as_json()) if wanted.json else show(result)
    for path in plots.draw(result, wanted.plot) if wanted.plot else ():
        print(f"drawn: {path}", file=sys.stderr)
    return 0 if result.holds else 1


def _wrong(sentence: str) -> int:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return 2


def _overview() -> str:
    lines = [f"usage: {PROGRAM} NAME… [OPTIONS] [--json] [--plot DIR]"]
    for group in GROUPS:
        lines += ["", f"{group.name}: {group.title}"]
        width = max(len(each.name) for each in group.scenarios)
        lines += [f"  {each.name:<{width}}  {each.title}" for each in group.scenarios]
    lines += [
        "",
        f"{PROGRAM} compare A.json B.json tells what changed from one result to another.",
        "Several names run one after the other; so do the name of a group, and `all`.",
        f"{PROGRAM} NAME --help tells the options of one.",
    ]
    return "\n".join(lines)
