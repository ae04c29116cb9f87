"""What JSON can carry of a Python value: anything else is refused where it was given.

JSON has no NaN, no infinity, no sets, dates or bytes, and only text as keys. Encoders change such
values silently: NaN becomes null, which deletes a key of an agent's metadata.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Set
from math import isfinite
from typing import Any

from agent_client.errors import BadRequest
from homeport_protocol.bounds import MAX_INTEGER, MAX_METADATA_DEPTH

_LONGEST_PATH = 300
"""Characters of a path that an error repeats."""


def json_value(value: Any, path: str) -> Any:
    """A copy of `value` in JSON's own types; tuples become lists, enums their values.

    `path` names it, such as `metadata`. Raises BadRequest, whose `field` is the path of the part
    that JSON cannot carry, such as `metadata.gpu.load` or `metadata.zones[2]`.
    """
    return _copy(value, path, ())


def _copy(value: Any, path: str, outer: tuple[int, ...]) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, path)
        case int():
            if abs(value) > MAX_INTEGER:
                raise _refused(path, "an integer beyond what a float can be; give it as text")
            return int(value)
        case float():
            if not isfinite(value):
                raise _refused(path, f"JSON has no {float(value)}")
            return float(value)
        case Mapping():
            outer = _entered(value, path, outer)
            return {
                _key(key, path): _copy(each, f"{path}.{key}", outer) for key, each in value.items()
            }
        case list() | tuple():
            outer = _entered(value, path, outer)
            return [_copy(each, f"{path}[{at}]", outer) for at, each in enumerate(value)]
        case _:
            raise _refused(path, f"JSON has no {type(value).__name__}; {_instead(value)}")


def _entered(value: Any, path: str, outer: tuple[int, ...]) -> tuple[int, ...]:
    if id(value) in outer:
        raise _refused(path, "it holds itself")
    # The outermost is not metadata but the arguments of a call.
    if len(outer) == MAX_METADATA_DEPTH:
        raise _refused(path, f"nested more than {MAX_METADATA_DEPTH} levels deep")
    return (*outer, id(value))


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise _refused(path, f"JSON has only text as keys, not {key!r}"[:120])
    return _text(key, path)


def _text(text: str, path: str) -> str:
    plain = str.__str__(text)
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise _refused(path, "a text with a lone surrogate, which UTF-8 cannot carry") from None
    return plain


def _instead(value: Any) -> str:
    match value:
        case Set():
            return "give a list"
        case datetime.date() | datetime.time():
            return "give text, such as that of isoformat()"
        case bytes() | bytearray() | memoryview():
            return "give text, such as that of hex() or decode()"
        case _:
            return "give text, a number, True, False, None, a list or a dict"


def _refused(path: str, words: str) -> BadRequest:
    if len(path) > _LONGEST_PATH:
        path = f"{path[:_LONGEST_PATH]}…"
    path = path.encode(errors="backslashreplace").decode()  # a key may be the part at fault
    return BadRequest(f"{path}: {words}", field=path)
