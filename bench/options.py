"""A command line made from a Struct: each field an option, with its type, bounds and help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

O = TypeVar("O", bound=Struct)  # noqa: E741 - the usual letter for options here


def parse(
    kind: type[O], arguments: Sequence[str], *, program: str, description: str
) -> tuple[O, bool]:
    """The options that `arguments` give, and whether the result is wanted as JSON.

    `kind` has only fields with defaults, of the types int, float and str, annotated with Meta.
    Ends the process with status 2 and one sentence for wrong usage, as argparse does.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        type_, words = _described(hints[field.name])
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            type=type_,
            default=field.default,
            metavar=type_.__name__.upper(),
            help=f"{words} (default: {field.default})",
        )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    as_json = given.pop("json")
    try:
        return msgspec.convert(given, kind), as_json
    except msgspec.ValidationError as error:
        parser.error(str(error))


def _described(hint: Any) -> tuple[type, str]:
    assert get_origin(hint) is Annotated
    type_, *extras = get_args(hint)
    words = [extra.description for extra in extras if isinstance(extra, Meta)]
    return type_, " ".join(word for word in words if word)
