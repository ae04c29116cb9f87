"""What every value that the library returns can do: become JSON, also as a field of pydantic."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import msgspec

_REFERENCE = "#/$defs/"


class _Serializer:
    """How pydantic writes a value where it expects `Any`, as in `dict[str, Any]`."""

    def __init__(self) -> None:
        self._made: dict[type, Any] = {}

    def __get__(self, value: object, owner: type[Value]) -> Any:
        if owner not in self._made:
            pydantic_core = sys.modules.get("pydantic_core")
            if pydantic_core is None:
                raise AttributeError("__pydantic_serializer__")
            self._made[owner] = pydantic_core.SchemaSerializer(_core_schema(owner))
        return self._made[owner]


class Value:
    """A mixin for frozen Structs: their JSON, for `json.dumps`, pydantic and FastAPI.

    Pydantic finds what it needs by its names, so neither library is imported.
    """

    __slots__ = ()

    __pydantic_serializer__: ClassVar[Any] = _Serializer()

    _absent_when: ClassVar[dict[str, Any]] = {}
    """The fields that JSON leaves out when they have this value."""

    def to_dict(self) -> dict[str, Any]:
        """This value as JSON has it; what is absent there is absent here. All of it is copied."""
        shape = {}
        for field in self.__struct_fields__:  # type: ignore[attr-defined]
            value = getattr(self, field)
            if field not in self._absent_when or value != self._absent_when[field]:
                shape[field] = _plain(value)
        return shape

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The items of `to_dict`, so that `dict(value)` is the same."""
        return iter(self.to_dict().items())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        return _core_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Callable[[Any], Any]) -> Any:
        return json_schema(cls)


def _core_schema(type_: type[Value]) -> dict[str, Any]:
    def validated(value: Any) -> Value:
        if isinstance(value, type_):
            return value
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None  # which pydantic expects

    return {
        "type": "function-plain",
        "function": {"type": "no-info", "function": validated},
        "serialization": {"type": "function-plain", "function": type_.to_dict},
        "ref": f"{type_.__module__}.{type_.__qualname__}:{id(type_)}",
    }


def json_schema(type_: type[Value]) -> dict[str, Any]:
    """The JSON Schema of what `to_dict` returns, complete in itself."""
    _, types = msgspec.json.schema_components([type_], ref_template=_REFERENCE + "{name}")
    schema: dict[str, Any] = _without_references(types[type_.__name__], types)
    for field, absent in type_._absent_when.items():
        given = schema["properties"][field]
        given.pop("default", None)
        if absent is None:
            [schema["properties"][field]] = [
                choice for choice in given["anyOf"] if choice != {"type": "null"}
            ]
    return schema


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _without_references(schema: Any, types: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_without_references(each, types) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _without_references(types[schema["$ref"].removeprefix(_REFERENCE)], types)
    plain = {key: _without_references(each, types) for key, each in schema.items()}
    if isinstance(plain.get("description"), str):
        # Python 3.13 strips the indentation of docstrings, older versions do not.
        plain["description"] = " ".join(inspect.cleandoc(plain["description"]).split())
    return plain
