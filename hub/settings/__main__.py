"""The table of settings as Markdown, made from `FIELDS`.

`python -m hub.settings` prints it; `python -m hub.settings FILE` puts it into FILE, between the
lines `<!-- settings -->` and `<!-- /settings -->`. A test fails when docs/operation.md is behind.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hub.settings.fields import FIELDS, Field

BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"

_HEAD = (
    "| option, TOML key | variable | default | accepts | meaning |",
    "|---|---|---|---|---|",
)


def table() -> str:
    """One row for each setting, in the order of `Settings`; ends with a line feed."""
    return "\n".join([*_HEAD, *map(_row, FIELDS.values())]) + "\n"


def with_table(text: str) -> str:
    """`text` with what stands between the two marks replaced; raises ValueError without them."""
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"there are no lines {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}{table()}{END}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Print the table, or put it into the file that the arguments name."""
    if not arguments:
        sys.stdout.write(table())
        return
    path = Path(arguments[0])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


def _row(field: Field) -> str:
    # A number or a word of the table is code; what is described in words is not.
    default = field.default_text if field.default is None else f"`{field.default_text}`"
    return (
        f"| `{field.flag}`, `{field.name}` | `{field.variable}` | {default} | {field.expects} "
        f"| {field.help} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
