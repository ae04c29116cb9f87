"""The filter of a query or a watch."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from homeport_protocol.bounds import Status
from homeport_protocol.texts import compose

MAX_TERMS = 32
"""Terms of one filter: its keys, each path of `metadata` counted by itself."""

MAX_WORDS = 32
"""Words of `capabilities`, of `any_capability`, or of a list of `status`."""

MAX_CLAUSES = 8
"""Clauses of a version specifier; a comma separates them."""

MAX_PATH_BYTES = 256
"""Bytes of a metadata path in UTF-8."""

_Text = Annotated[str, Meta(max_length=255)]
_COMPOSED = dict.fromkeys(
    ("type", "name", "capabilities", "any_capability", "host", "version"), 3 * 255
)  # NFC makes a text three times as long at most
_Texts = Annotated[list[_Text], Meta(max_length=MAX_WORDS)]
_Statuses = Annotated[list[Status], Meta(max_length=MAX_WORDS)]


class Filter(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """An agent must match every given key; an empty filter matches all agents.

    `capabilities` must all be present, of `any_capability` at least one. `status` is a value or a
    list of accepted values. `version` is a specifier such as `>=1.2,<2` or `==9f3c2ab`. It
    orders versions by PEP 440 or else by Semantic Versioning, and compares others for equality. It
    matches pre-releases only where it names one. `metadata` maps keys to equal values; a
    dotted key reaches inside. An unknown key is an error, so that a typing mistake cannot
    match everything. So is a filter beyond the bounds of this module: a caller may ask often, but
    not for work without end. Making such a filter raises ValueError, which begins with the field.
    """

    type: _Text | UnsetType = UNSET
    name: _Text | UnsetType = UNSET
    capabilities: _Texts | UnsetType = UNSET
    any_capability: _Texts | UnsetType = UNSET
    status: Status | _Statuses | UnsetType = UNSET
    host: _Text | UnsetType = UNSET
    version: _Text | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        compose(self, _COMPOSED)
        if self.version is not UNSET and self.version.count(",") >= MAX_CLAUSES:
            raise ValueError(f"`version`: more than {MAX_CLAUSES} clauses")
        if self.metadata is UNSET:
            return  # there are fewer keys than MAX_TERMS
        # `str`: a caller in Python may give keys that are no texts, which is for others to refuse.
        if any(len(str(path).encode(*_AS_IS)) > MAX_PATH_BYTES for path in self.metadata):
            raise ValueError(f"`metadata`: a path of more than {MAX_PATH_BYTES} bytes")
        others = sum(getattr(self, name) is not UNSET for name in self.__struct_fields__) - 1
        if others + len(self.metadata) > MAX_TERMS:
            raise ValueError(
                f"`metadata`: more than {MAX_TERMS} terms in all, paths and other keys"
            )


_AS_IS = ("utf-8", "surrogatepass")  # a lone surrogate of a Python caller is refused when encoded

MATCH_ALL = Filter()
