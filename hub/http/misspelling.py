"""Which query parameter an unknown one was meant to be, if any.

The legacy service ignored all query parameters, so its callers add what caches and tracking want,
and unknown ones are ignored. But a filter that is ignored for a typing error would match every
agent: a name that is one error away from a known one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 3
"""Characters from which on a name is taken for a misspelt one: `v`, `t`, `_` and `ts` are not."""

_ALIASES = {"capabilities": "capability", "metadata": "meta.KEY", "meta": "meta.KEY"}
"""What the websocket's filter calls them, and a `meta` without its key."""


def meant_parameter(name: str, known: Iterable[str]) -> str | None:
    """The one of the `known` parameters that `name`, which is none of them, was meant to be.

    None when it is like none of them. `meta.KEY` is known by what is before its dot.
    """
    word, dot, _ = name.lower().partition(".")
    if word in _ALIASES:
        return _ALIASES[word]
    if len(word) < SHORTEST:
        return None
    if dot and _one_error_apart(word, "meta"):
        return "meta.KEY"
    return next((each for each in known if _one_error_apart(name.lower(), each)), None)


def _one_error_apart(one: str, other: str) -> bool:
    """Whether they are equal but for a letter too many, too few or wrong, or two swapped ones."""
    if len(one) < len(other):
        one, other = other, one
    if len(one) - len(other) > 1:
        return False
    same = 0
    while same < len(other) and one[same] == other[same]:
        same += 1
    left, right = one[same:], other[same:]
    if len(one) > len(other):
        return left[1:] == right
    return left[1:] == right[1:] or (left[1::-1] == right[:2] and left[2:] == right[2:])
