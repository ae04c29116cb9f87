"""Command lines of scenarios: each field of a Struct is an option with type, bounds and help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from bench.scenario import Scenario


class Wanted(Struct, frozen=True):
    """What the command line asks for: the options of each scenario, by its name, and the output.

    `plot` is the directory for charts, or empty.
    """

    options: dict[str, Struct]
    json: bool
    plot: str


class _Option(Struct):
    """An option, with its help and default in each scenario that has it."""

    kind: type
    words: dict[str, str]
    defaults: dict[str, Any]


def parse(scenarios: Sequence[Scenario], arguments: Sequence[str], *, program: str) -> Wanted:
    """The options that `arguments` give to these scenarios: each takes those that it has.

    Options are Structs whose fields all have defaults, are of type int, float or str, and are
    annotated with Meta, with an example where it has a pattern. Wrong usage, an option that no
    scenario has included, ends the process with status 2 and one sentence, as argparse does.
    """
    (first, *others) = scenarios
    parser = argparse.ArgumentParser(
        prog=program,
        description="several scenarios, one after the other" if others else first.title,
        allow_abbrev=False,
    )
    for name, option in _options(scenarios).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            default=argparse.SUPPRESS,
            metavar=option.kind.__name__.upper(),
            help=_help(option, alone=not others),
        )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--plot", default="", metavar="DIR", help="draw charts into this directory")
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    as_json, plot = given.pop("json"), given.pop("plot")
    options = {}
    for scenario in scenarios:
        has = scenario.options.__struct_fields__
        own = {name: text for name, text in given.items() if name in has}
        try:
            options[scenario.name] = msgspec.convert(own, scenario.options, strict=False)
        except msgspec.ValidationError as error:
            parser.error(f"{scenario.name} does not take {_fault(str(error), own, scenario)}")
    return Wanted(options, as_json, plot)


def _options(scenarios: Sequence[Scenario]) -> Mapping[str, _Option]:
    found: dict[str, _Option] = {}
    for scenario in scenarios:
        hints = get_type_hints(scenario.options, include_extras=True)
        for field in msgspec.structs.fields(scenario.options):
            kind, words = _described(hints[field.name])
            option = found.setdefault(field.name, _Option(kind, {}, {}))
            option.words[scenario.name] = words
            option.defaults[scenario.name] = field.default
    return found


def _fault(words: str, given: Mapping[str, str], scenario: Scenario) -> str:
    expected, _, place = words.partition(" - at ")
    name = place.strip("`$.")
    option = f"--{name.replace('_', '-')} {given.get(name, '')}"
    if " matching regex " in expected:
        hints = get_type_hints(scenario.options, include_extras=True)
        (example,) = [each for meta in hints[name].__metadata__ for each in meta.examples or ()]
        return f"{option}: expected something like {example}"
    return f"{option}: {expected.partition(', got')[0].replace('Expected', 'expected')}"


def _help(option: _Option, *, alone: bool) -> str:
    if alone:
        (words,), (default,) = option.words.values(), option.defaults.values()
        told = words if default == "" else f"{words} (default: {default})"
    else:
        alike: dict[str, list[str]] = {}
        for scenario, words in option.words.items():
            alike.setdefault(words, []).append(scenario)
        told = "; ".join(f"{words} (of: {', '.join(of)})" for words, of in alike.items())
    return told.replace("%", "%%")


def _described(hint: Any) -> tuple[type, str]:
    assert get_origin(hint) is Annotated
    kind, *extras = get_args(hint)
    words = [extra.description for extra in extras if isinstance(extra, Meta)]
    return kind, " ".join(word for word in words if word)
