"""The contract's bounds, written out by hand: for each field, values that must be refused.

A value is JSON text, so that what no Python object can say (NaN, a lone surrogate, a number of
4,000 digits) is said too. The last part of a row is the code.
"""

from __future__ import annotations

import json

BAD, BIG = "bad_request", "too_large"

LONG_NUMBER = "9" * 4000

_TEXT = ["5", "true", "{}", "[]", "1.5"]
_OBJECT = ["5", "true", '"x"', "[]", "1.5"]


def _long(size: int) -> str:
    return json.dumps("x" * size)


def _control(*before_and_after: str) -> list[str]:
    before, after = before_and_after
    return [json.dumps(before + c + after) for c in ("\x00", "\n", "\t", "\x1b", "\x7f", "\x85")]


def _all(values: list[str], code: str = BAD) -> list[tuple[str, str]]:
    return [(value, code) for value in values]


_UNSEEN = [json.dumps(text) for text in ("a\u200b", "\u202ea", "\ufeff", "\u3164", "a\U000e0041")]
_BLANK = [*_UNSEEN, '" "', '"\u3000"']

NAME = _all(_BLANK) + _all(
    ["null", *_TEXT, '""', _long(129), *_control("a", "b"), *_control("a", "")]
)
TYPE = _all(_BLANK) + _all(
    ["null", *_TEXT, '""', _long(65), *_control("a", "b"), *_control("a", "")]
)
HOST = _all([*_BLANK, *_TEXT, '""', _long(256), *_control("a", "b")])
PORT = _all(['"80"', "true", "{}", "[]", "80.5", "-1", "65536", LONG_NUMBER, "1e400"])
CAPABILITIES = _all(['"x"', "5", "{}", "true", "[5]", "[null]", "[[]]", '[""]'])
CAPABILITIES += _all([f"[{text}]" for text in _UNSEEN])
CAPABILITIES += _all([f"[{_long(129)}]", json.dumps([f"c{n}" for n in range(257)])])
STATUS = _all(["5", "true", "{}", "[]", '""', '"fine"', '"Healthy"', '"healthy "'])
VERSION = _all([*_UNSEEN, *_TEXT, _long(65)])
LOAD = _all(['"1"', "true", "{}", "[]", "-1", "-0.001", LONG_NUMBER, "1e400"])
METADATA = [
    *_all([*_OBJECT, f'{{"k":{LONG_NUMBER}}}']),
    *_all(['{"k":1e400}', '{"k":' + '{"k":' * 500 + "1" + "}" * 500 + "}"]),
    ('{"k":"' + "x" * 16_384 + '"}', BIG),
    ('{"k":"' + "é" * 8_190 + '"}', BIG),
]
CHANGES = {
    "capabilities": CAPABILITIES,
    "version": VERSION,
    "host": HOST,
    "port": PORT,
    "status": STATUS,
    "metadata": METADATA,
    "load": LOAD,
}
AGENT = {"name": NAME, "type": TYPE, **CHANGES}

AGENT_ID = _all([*_TEXT, '""', '"agent-1"', _long(37), '"550e8400-e29b-41d4-a716-44665544000g"'])
TOKEN = _all([*_TEXT, _long(10_000)])
FILTER = {
    "type": _all(_TEXT),
    "name": _all(_TEXT),
    "capabilities": _all(['"x"', "5", "{}", "[5]", "[null]"]),
    "any_capability": _all(['"x"', "5", "{}", "[5]", "[null]"]),
    "status": _all(["5", "{}", '"fine"', '["healthy","fine"]', "[5]"]),
    "host": _all(_TEXT),
    "version": _all([*_TEXT, '"not a specifier"', '"1.2"', '">=x"']),
    "metadata": _all(["5", '"x"', "[]", "true"]),
    "typ": _all(['"cost"', "null"]),
    "Type": _all(['"cost"']),
    "metadata.region": _all(['"eu"']),
}
LIMIT = _all(['"5"', "true", "{}", "[]", "1.5", "0", "-1", "10001", LONG_NUMBER])
CURSOR = _all(["5", "true", "{}", "[]", '"nobody gave me this"', _long(10_000)])
SINCE = _all(['"5"', "true", "{}", "1.5", "-1", LONG_NUMBER])
WATCH = _all(['"1"', "true", "{}", "1.5", "-1", LONG_NUMBER])
REQUEST_ID = _all(["null", "true", "1.5", "{}", "[]", _long(10_000), LONG_NUMBER])
