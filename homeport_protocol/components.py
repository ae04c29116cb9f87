"""JSON Schemas of the contract's types, by the names that the documents use."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from homeport_protocol.answers import Message
from homeport_protocol.bounds import NAMESPACE
from homeport_protocol.filters import Filter
from homeport_protocol.http import (
    AgentList,
    Confirmation,
    ErrorBody,
    HealthAnswer,
    Index,
    LegacyHeartbeat,
    LegacyHeartbeatAnswer,
    LegacyLease,
    LegacyRegistration,
    NotReady,
    Ready,
)
from homeport_protocol.logins import LoginAnswer, LoginRequest
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import Request
from homeport_protocol.tokens import NewToken, TokenFacts, TokenList, TokenRequest

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
CONTRACT_VERSION = "1.1.0"
"""The version of the contract, not of the hub; it changes when messages or bodies change."""

NAMESPACE_SCHEMA: Schema = {
    "type": "string",
    "pattern": NAMESPACE,
    "default": DEFAULT_NAMESPACE,
}

_HTTP_TYPES = [
    LegacyRegistration,
    LegacyLease,
    LegacyHeartbeat,
    LegacyHeartbeatAnswer,
    Confirmation,
    AgentList[AgentRecord],
    HealthAnswer,
    Ready,
    NotReady,
    Index,
    TokenRequest,
    TokenFacts,
    NewToken,
    TokenList,
    LoginRequest,
    LoginAnswer,
    ErrorBody,
]
_ROOTS: dict[str, Any] = {
    "record": AgentRecord,
    "filter": Filter,
    "request": Request,
    "message": Message,
    "registration": LegacyRegistration,
    "heartbeat": LegacyHeartbeat,
}
_GENERIC_SUFFIX = "_AgentRecord_"


def websocket_components(template: str) -> dict[str, Schema]:
    """Every type that is sent over the websocket, by name; `template` forms the references."""
    return _components([Request, Message], template)[1]


def http_components(template: str) -> dict[str, Schema]:
    """Every type that is sent over HTTP, by name."""
    return _components(_HTTP_TYPES, template)[1]


def json_schemas() -> dict[str, Schema]:
    """Self-contained JSON Schemas: record, filter, what agents send, what hubs send."""
    documents: dict[str, Schema] = {}
    for name, type_ in _ROOTS.items():
        (root,), used = _components([type_], "#/$defs/{name}")
        documents[name] = {
            "$schema": DIALECT,
            "$id": f"urn:homeport:schema:{name}",
            **root,
            "$defs": used,
        }
    return documents


def _components(types: list[Any], template: str) -> tuple[list[Schema], dict[str, Schema]]:
    roots, components = msgspec.json.schema_components(types, ref_template=template)
    return (
        [_tidy(root) for root in roots],
        {_short(name): _tidy(schema) for name, schema in sorted(components.items())},
    )


def _short(name: str) -> str:
    return name.removesuffix(_GENERIC_SUFFIX)


def _tidy(value: Any) -> Any:
    """Plain names for generics, and descriptions without the source's line breaks."""
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if not isinstance(value, dict):
        return value
    tidied = {key: _tidy(each) for key, each in value.items()}
    # Only texts, which are keywords of a schema: a property may have the same name.
    if isinstance(tidied.get("description"), str):
        # Python 3.13 strips the indentation of docstrings, older versions do not.
        tidied["description"] = " ".join(inspect.cleandoc(tidied["description"]).split())
    if isinstance(tidied.get("title"), str):
        tidied["title"] = tidied["title"].removesuffix("[AgentRecord]")
    if isinstance(tidied.get("$ref"), str):
        tidied["$ref"] = _short(tidied["$ref"])
    if isinstance(tidied.get("mapping"), dict):
        tidied["mapping"] = {key: _short(ref) for key, ref in tidied["mapping"].items()}
    return tidied
