"""The settings as Markdown, generated from `FIELDS`.

`python -m hub.settings` prints them; `python -m hub.settings docs/reference.md` writes them into
that file, between the lines `<!-- settings -->` and `<!-- /settings -->`. A test fails when the
file is out of date.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from hub.settings.fields import FIELDS, Field

BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"

_WIDTH = 100


def listing() -> str:
    """One section for each setting, in the order of `Settings`; ends with a line feed."""
    return "\n".join(map(_section, FIELDS.values()))


def with_listing(text: str) -> str:
    """`text` with the part between the two markers replaced; raises ValueError without them."""
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"there are no lines {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}{listing()}{END}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Print the settings, or write them into the file that the arguments name."""
    if not arguments:
        sys.stdout.write(listing())
        return
    path = Path(arguments[0])
    path.write_text(with_listing(path.read_text(encoding="utf-8")), encoding="utf-8")


def _section(field: Field) -> str:
    # A value is shown as code, a description as text.
    default = field.default_text if field.default is None else f"`{field.default_text}`"
    facts = (
        f"`{field.variable}`, TOML key `{field.name}`. Default: {default}. Accepts {field.expects}."
    )
    if field.reloads:
        facts += " SIGHUP applies a new value at once."
    return f"### `{field.flag}`\n\n{_wrapped(field.help)}\n\n{_wrapped(facts)}\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    main(sys.argv[1:])
