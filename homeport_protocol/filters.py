"""The filter of a query or a watch."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from homeport_protocol.bounds import Status

_Text = Annotated[str, Meta(max_length=255)]
_Texts = Annotated[list[_Text], Meta(max_length=256)]


class Filter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent must match every given key; an empty filter matches all agents.

    `capabilities` must all be present, of `any_capability` at least one. `status` is a value or a
    list of accepted values. `version` is a PEP 440 specifier such as `>=1.2,<2`; an agent whose
    version is not a PEP 440 version never matches it. `metadata` maps keys to equal values; a
    dotted key reaches inside. An unknown key is an error, so that a typing mistake cannot
    match everything.
    """

    type: _Text | UnsetType = UNSET
    name: _Text | UnsetType = UNSET
    capabilities: _Texts | UnsetType = UNSET
    any_capability: _Texts | UnsetType = UNSET
    status: Status | list[Status] | UnsetType = UNSET
    host: _Text | UnsetType = UNSET
    version: _Text | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


MATCH_ALL = Filter()
