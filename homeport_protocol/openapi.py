"""The HTTP side as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from homeport_protocol.bounds import MAX_FIND_LIMIT, MAX_FRAME_BYTES, STATUSES, STRATEGIES
from homeport_protocol.components import (
    CONTRACT_VERSION,
    DIALECT,
    NAMESPACE_SCHEMA,
    http_components,
)
from homeport_protocol.http import SESSION_TOKEN_HEADER
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_PARAMETER
from homeport_protocol.tokens import TOKEN_ID
from homeport_protocol.websocket import WEBSOCKET_PATH

Document = dict[str, Any]

_EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
_EXAMPLE_TOKEN_ID = "4k2m9x7q1zab"  # noqa: S105 - the id of one

_SECONDS_HEADER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


def openapi() -> Document:
    """The whole document: every route with its parameters, bodies and answers."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homeport",
            "version": CONTRACT_VERSION,
            "description": (
                "The registry of agents over HTTP: the legacy routes, discovery, and the hub's "
                "own pages. Agents that stay connected use the websocket at /ws, which "
                "/asyncapi.json describes. A path may end in a slash, HEAD is answered wherever "
                'GET is, and every failure is {"error": "one plain sentence"}.'
            ),
        },
        "jsonSchemaDialect": DIALECT,
        "paths": {**_asking(_agent_paths()), **_asking(_token_paths()), **_own_paths()},
        "components": {
            "schemas": http_components("#/components/schemas/{name}"),
            "parameters": _parameters(),
            "responses": _failures(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as password, with any user name.",
                },
            },
        },
    }


def _asking(paths: Document) -> Document:
    """The paths, with what their operations answer where callers are asked for a token."""
    for path in paths.values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            operation["security"] = [{}, {"bearer": []}, {"basic": []}]
            for status in ("401", "403"):
                operation["responses"][status] = {"$ref": f"#/components/responses/Failure{status}"}
    return paths


def _token_paths() -> Document:
    by_id = [_parameter("TokenId")]
    facts = _answer("What is known of the token.", "TokenFacts")
    return {
        "/tokens": {
            "get": _operation(
                "listTokens",
                "All tokens; for operators of every namespace, as all of these.",
                {"200": _answer("Their facts.", "TokenList")},
                [503],
            ),
            "post": _operation(
                "createToken",
                "Make a token.",
                {"201": _answer("The token, which no other answer has.", "NewToken")},
                [400, 408, 409, 413, 503],
                body=_body("TokenRequest", {"role": "agent", "names": ["web-*"], "uses": 1}),
            ),
        },
        "/tokens/{id}": {
            "parameters": by_id,
            "get": _operation("showToken", "One token.", {"200": facts}, [400, 404, 503]),
            "delete": _operation(
                "revokeToken",
                "Revoke a token for good; also answered 200 when it was revoked before.",
                {"200": facts},
                [400, 404, 503],
            ),
        },
    }


def _agent_paths() -> Document:
    namespace = [_parameter("NamespaceHeader"), _parameter("NamespaceQuery")]
    by_id = [_parameter("AgentId"), *namespace]
    as_its_agent = [_parameter("SessionToken"), *by_id]
    filters = [
        _parameter(name)
        for name in (
            "Name",
            "Capability",
            "AnyCapability",
            "Status",
            "Host",
            "Version",
            "Metadata",
        )
    ]
    paging = [_parameter("Limit"), _parameter("Cursor")]
    type_in_query = _parameter("Type")
    agents = _answer("All agents that match, ordered by id, or a page of them.", "AgentList")
    record = _answer("The agent.", "AgentRecord")
    return {
        "/agents/register": {
            "parameters": namespace,
            "post": _operation(
                "register",
                "Register an agent; it stays registered while it sends heartbeats.",
                {"201": _answer("Registered, and stored.", "LegacyLease")},
                [400, 408, 409, 413, 429, 503],
                body=_body("LegacyRegistration", _registration_example()),
            ),
        },
        "/agents/{id}/heartbeat": {
            "parameters": as_its_agent,
            "post": _operation(
                "heartbeat",
                "Renew an agent's lease, and report its status, metadata and load.",
                {"200": _answer("Accepted, and stored.", "LegacyHeartbeatAnswer")},
                [400, 401, 404, 408, 409, 413, 429, 503],
                body=_body("LegacyHeartbeat", {"status": "healthy", "metadata": {"queue": 3}}),
            ),
        },
        "/agents/{id}/unregister": {
            "parameters": as_its_agent,
            "post": _operation(
                "unregister",
                "End an agent's lease; also answered 200 when there is no such agent.",
                {"200": _answer("The agent is gone.", "Confirmation")},
                [400, 401, 409, 503],
            ),
        },
        "/agents": {
            "parameters": namespace,
            "get": _operation(
                "listAgents",
                "The agents that match every parameter; all of them without any.",
                {"200": agents},
                [400, 503],
                parameters=[type_in_query, *filters, *paging],
            ),
        },
        "/agents/type/{type}": {
            "parameters": [_parameter("TypeInPath"), *namespace],
            "get": _operation(
                "listAgentsOfType",
                "The agents of one type that match every parameter.",
                {"200": agents},
                [400, 503],
                parameters=[*filters, *paging],
            ),
        },
        "/agents/pick": {
            "parameters": namespace,
            "get": _operation(
                "pickAgent",
                "One agent to give work to: a healthy one whose connection is not lost; with "
                "`status`, one with that status.",
                {"200": record},
                [400, 404, 503],
                parameters=[
                    type_in_query,
                    *filters,
                    _parameter("Strategy"),
                    _parameter("StickyKey"),
                ],
            ),
        },
        "/agents/{id}": {
            "parameters": by_id,
            "get": _operation("getAgent", "One agent.", {"200": record}, [400, 404, 503]),
            "delete": _operation(
                "removeAgent",
                "An operator's removal: end an agent's lease, whoever holds it.",
                {"200": _answer("The agent is gone.", "Confirmation")},
                [400, 404, 503],
            ),
        },
    }


def _own_paths() -> Document:
    return {
        "/health": {
            "get": _operation(
                "health",
                "Whether the process answers: always 200.",
                {"200": _answer("It does.", "HealthAnswer")},
            )
        },
        "/ready": {
            "get": _operation(
                "ready",
                "Whether the hub accepts registrations.",
                {
                    "200": _answer("It does.", "Ready"),
                    "503": {
                        **_answer("It does not, for these reasons.", "NotReady"),
                        "headers": _SECONDS_HEADER,
                    },
                },
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "The metrics of the hub.",
                {
                    "200": {
                        "description": "Prometheus text format.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
        "/openapi.json": {"get": _operation("openapi", "This document.", {"200": _document()})},
        "/asyncapi.json": {
            "get": _operation("asyncapi", "The websocket's description.", {"200": _document()})
        },
        "/login": {
            "post": _operation(
                "login",
                "A cookie for a browser, in the place of its user's token.",
                {
                    "200": {
                        **_answer("Whom it acts for now.", "LoginAnswer"),
                        "headers": {
                            "Set-Cookie": {
                                "description": "The cookie, where callers are asked for a token.",
                                "schema": {"type": "string"},
                            }
                        },
                    }
                },
                [400, 401, 408, 413, 503],
                body=_body("LoginRequest", {"token": "hp1_4k2m9x7q1zab_…"}),
            )
        },
        "/logout": {
            "post": _operation(
                "logout", "Have the browser forget the cookie.", {"200": _document()}
            )
        },
        WEBSOCKET_PATH: {
            "parameters": [_parameter("NamespaceHeader"), _parameter("NamespaceQuery")],
            "get": _operation(
                "websocket",
                "The websocket itself; see /asyncapi.json.",
                {"101": {"description": "The connection is a websocket from now on."}},
                [426],
            ),
        },
        "/": {
            "get": _operation(
                "index", "What this hub is.", {"200": _answer("Name and links.", "Index")}
            )
        },
    }


def _operation(
    operation_id: str,
    summary: str,
    answers: Document,
    failures: list[int] | None = None,
    *,
    parameters: list[Document] | None = None,
    body: Document | None = None,
) -> Document:
    operation: Document = {"operationId": operation_id, "summary": summary}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = body
    operation["responses"] = {
        **answers,
        **{
            str(status): {"$ref": f"#/components/responses/Failure{status}"}
            for status in failures or []
        },
        "default": {"$ref": "#/components/responses/Failure"},
    }
    return operation


def _failures() -> Document:
    words = {
        400: "A parameter or field is wrong; the sentence names it.",
        401: "No token where one is asked for, or one that is not good (any more); or the session "
        "token is not of this agent's registration.",
        403: "The token's role, names or namespace do not allow it, or the agent is another's.",
        404: "There is no such agent or token, or none that matches.",
        408: "The body did not arrive in time.",
        409: "A newer registration or a websocket session holds the agent; or there is no room for "
        "another token.",
        413: f"The body exceeds {MAX_FRAME_BYTES} bytes.",
        426: "The request did not ask for an upgrade to a websocket.",
        429: "The namespace is full: it has `max_agents`, or `max_agent_bytes` of records.",
        503: "Redis is away, or the hub is starting; nothing is guaranteed to be stored.",
    }
    failures = {f"Failure{status}": _answer(text, "ErrorBody") for status, text in words.items()}
    failures["Failure429"]["headers"] = failures["Failure503"]["headers"] = _SECONDS_HEADER
    failures["Failure401"]["headers"] = {
        "WWW-Authenticate": {
            "description": 'Always `Bearer realm="homeport"`.',
            "schema": {"type": "string"},
        }
    }
    failures["Failure"] = _answer(
        "Any other failure: 405 with `Allow` for a wrong method; 403, 415 or 421 for the page of "
        "another site; 400, 501 or 505 for a request with two readings; 500 for a bug in the hub.",
        "ErrorBody",
    )
    return failures


def _parameters() -> Document:
    text: Document = {"type": "string", "maxLength": 255}
    several: Document = {"type": "array", "items": text, "maxItems": 256}
    return {
        "AgentId": _path("id", "The agent's id.", {"type": "string"}, _EXAMPLE_ID),
        "TokenId": _path(
            "id", "The token's id.", {"type": "string", "pattern": TOKEN_ID}, _EXAMPLE_TOKEN_ID
        ),
        "TypeInPath": _path("type", "The agents' type.", text, "cost"),
        "SessionToken": {
            "name": SESSION_TOKEN_HEADER,
            "in": "header",
            "description": "The `session_token` of the registration; refused once a newer one has "
            "replaced it. Without it, agents that a websocket session holds are out of reach.",
            "schema": {"type": "string"},
        },
        "NamespaceHeader": {
            "name": NAMESPACE_HEADER,
            "in": "header",
            "description": "The namespace; a query parameter that differs is refused.",
            "schema": NAMESPACE_SCHEMA,
        },
        "NamespaceQuery": _query(NAMESPACE_PARAMETER, "The namespace.", NAMESPACE_SCHEMA),
        "Type": _query("type", "Only agents of this type.", text),
        "Name": _query("name", "Only agents of this name.", text),
        "Capability": _query("capability", "Only agents with all of these.", several),
        "AnyCapability": _query("any_capability", "Only agents with one of these.", several),
        "Status": _query(
            "status",
            "Only agents in one of these statuses; several values, or one list with commas.",
            {"type": "array", "items": {"enum": list(STATUSES)}},
        ),
        "Host": _query("host", "Only agents on this host.", text),
        "Version": _query("version", "A version specifier such as >=1.2,<2 or ==9f3c2ab.", text),
        "Metadata": {
            **_query(
                "meta",
                "meta.KEY=VALUE: only agents whose metadata has that value; dots in KEY reach "
                "inside. VALUE is compared as text; if no agent matches, a VALUE that is a JSON "
                "number, true or false is compared as that. At most four values of one query may "
                "be both.",
                {"type": "object", "additionalProperties": {"type": "string"}},
            ),
            "example": {"meta.region": "eu-west-1"},
        },
        "Limit": _query(
            "limit",
            "At most this many agents; without it, all of them.",
            {"type": "integer", "minimum": 1, "maximum": MAX_FIND_LIMIT},
        ),
        "Cursor": _query(
            "cursor",
            "The `next_cursor` of the previous page, with otherwise the same query.",
            {"type": "string"},
        ),
        "Strategy": _query(
            "strategy",
            "How to choose; `sticky` needs `key`.",
            {"enum": list(STRATEGIES), "default": "round_robin"},
        ),
        "StickyKey": _query(
            "key",
            "The same key gets the same agent while it lives.",
            {"type": "string", "maxLength": 256},
        ),
    }


def _parameter(name: str) -> Document:
    return {"$ref": f"#/components/parameters/{name}"}


def _query(name: str, words: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": words, "schema": schema}


def _path(name: str, words: str, schema: Document, example: str) -> Document:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": words,
        "schema": schema,
        "example": example,
    }


def _answer(words: str, schema: str) -> Document:
    return {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _document() -> Document:
    return {
        "description": "The document.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }


def _body(schema: str, example: Document) -> Document:
    return {
        "required": True,
        "description": "JSON, with any content type.",
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{schema}"},
                "example": example,
            }
        },
    }


def _registration_example() -> Document:
    return {
        "name": "cost-agent-1",
        "type": "cost",
        "capabilities": ["spot_migration", "reserved_instances"],
        "host": "cost-agent:8001",
        "status": "healthy",
    }
