"""The table of settings: names, kinds, bounds and help, derived from `Settings` itself."""

from __future__ import annotations

import math
import re
from types import NoneType, UnionType
from typing import Any, Literal, Union, assert_never, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from hub.settings.model import Settings
from hub.settings.redis_url import FORMS, complaint, is_redis_url

Kind = Literal["text", "whole", "number", "choice", "switch", "list"]
Value = str | int | float | bool | tuple[str, ...]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_SWITCH = {"yes": True, "true": True, "on": True, "1": True}
_SWITCH |= {"no": False, "false": False, "off": False, "0": False}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


class Field(Struct, frozen=True):
    """One setting.

    A list is given with commas between its items, or as an array in a TOML file; `item` is the
    pattern that each of them matches. `default` is None where it is computed or means "none";
    `default_text` describes it in help texts. `expects` describes the accepted values. A `secret`
    value is never shown. One that `reloads` applies at once when a running hub gets SIGHUP.
    """

    name: str
    kind: Kind
    default: Value | None
    default_text: str
    help: str
    metavar: str
    expects: str
    choices: tuple[str, ...]
    meta: Meta
    secret: bool
    reloads: bool
    item: str | None = None

    @property
    def flag(self) -> str:
        """The option of `homeport serve`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "HOMEPORT_" + self.name.upper()

    def parse(self, value: object) -> Value:
        """Convert `value`, which is text or already typed; raises ValueError with the reason.

        Text is accepted for numbers, because that is what a shell gives. In a TOML file, which has
        types, `load_settings` refuses text for numbers beforehand.
        """
        parsed = self._typed(value)
        if parsed is None or not self._within(parsed):
            if self.name == "redis" and isinstance(parsed, str):
                raise ValueError(complaint(parsed))
            shown = "" if self.secret else f", got {_shorten(value)}"
            raise ValueError(f"expected {self.expects}{shown}")
        return parsed

    def _typed(self, value: object) -> Value | None:
        if self.kind == "switch":
            return _SWITCH.get(value.strip().lower()) if isinstance(value, str) else _flag(value)
        if isinstance(value, bool):
            return None
        match self.kind:
            case "choice":
                return value.lower() if isinstance(value, str) else None
            case "text":
                return value if isinstance(value, str) else None
            case "list":
                return _items(value)
            case "whole":
                if isinstance(value, str):
                    return int(value) if _WHOLE.fullmatch(value := value.strip()) else None
                return value if isinstance(value, int) else None
            case "number":
                if isinstance(value, str):
                    return float(value) if _NUMBER.fullmatch(value := value.strip()) else None
                try:
                    return float(value) if isinstance(value, int | float) else None
                except OverflowError:
                    return None
            case _:
                assert_never(self.kind)

    def _within(self, value: Value) -> bool:
        if isinstance(value, tuple):
            most = self.meta.max_length
            return (most is None or len(value) <= most) and all(
                self.item is None or re.fullmatch(self.item, each) for each in value
            )
        if isinstance(value, str):
            return (
                (not self.choices or value in self.choices)
                and len(value) >= (self.meta.min_length or 0)
                and (self.meta.max_length is None or len(value) <= self.meta.max_length)
                and (
                    self.meta.pattern is None or re.fullmatch(self.meta.pattern, value) is not None
                )
                and "\0" not in value
                and (self.name != "redis" or is_redis_url(value))
            )
        return (
            not (isinstance(value, float) and math.isnan(value))
            and (self.meta.gt is None or value > self.meta.gt)
            and (self.meta.ge is None or value >= self.meta.ge)
            and (self.meta.le is None or value <= self.meta.le)
        )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _items(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(filter(None, (each.strip() for each in value.split(","))))
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        return None
    return tuple(value)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _describe_bounds(kind: Kind, meta: Meta, choices: tuple[str, ...]) -> str:
    if kind == "switch":
        return "yes, no, true or false"
    if choices:
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    noun = "a whole number" if kind == "whole" else "a number"
    low = f"above {meta.gt:g}" if meta.gt is not None else f"from {meta.ge}"
    return f"{noun} {low} {'and at most' if meta.gt is not None else 'to'} {meta.le}"


def _field(name: str, annotation: Any, default: Any) -> Field:
    base, meta = get_args(annotation)
    assert isinstance(meta, Meta)
    if get_origin(base) in (Union, UnionType):
        base = next(each for each in get_args(base) if each is not NoneType)
    extra = meta.extra or {}
    item: str | None = None
    choices: tuple[str, ...] = get_args(base) if get_origin(base) is Literal else ()
    kind: Kind
    if choices:
        kind = "choice"
    elif base is bool:
        kind = "switch"
    elif get_origin(base) is tuple:
        kind = "list"
        item = get_args(get_args(base)[0])[1].pattern
    elif base is int:
        kind = "whole"
    elif base is float:
        kind = "number"
    else:
        assert base is str
        kind = "text"
    known = None if default is msgspec.NODEFAULT or default in ("", ()) else default
    usual = {True: "yes", False: "no"}[bool(known)] if kind == "switch" else str(known)
    expects = extra.get("expects")
    if name == "redis":
        expects = FORMS
    return Field(
        name=name,
        kind=kind,
        default=known,
        default_text=extra.get("default") or (f"{known:g}" if kind == "number" else usual),
        help=meta.description or "",
        metavar=extra.get("metavar", ""),
        expects=expects or _describe_bounds(kind, meta, choices),
        choices=choices,
        meta=meta,
        secret=name in ("redis", "operator_token_sha256", "jwt_keys"),
        reloads=bool(extra.get("reloads")),
        item=item,
    )


def _table() -> dict[str, Field]:
    hints = get_type_hints(Settings, include_extras=True)
    return {
        field.name: _field(field.name, hints[field.name], field.default)
        for field in msgspec.structs.fields(Settings)
    }


FIELDS: dict[str, Field] = _table()
"""Every setting by its name, in the order of `Settings`."""
