"""The websocket side as an AsyncAPI 3.0 document."""

from __future__ import annotations

from typing import Any, get_args

from homeport_protocol.answers import (
    Agent,
    Agents,
    Error,
    Event,
    Flapping,
    HeartbeatAck,
    Hubs,
    LossAcknowledged,
    Pong,
    Reading,
    Registered,
    Removed,
    Snapshot,
    Unregistered,
    Unwatched,
    Updated,
    Watching,
)
from homeport_protocol.bounds import MAX_FRAME_BYTES
from homeport_protocol.components import CONTRACT_VERSION, NAMESPACE_SCHEMA, websocket_components
from homeport_protocol.errors import FAILURES, CloseCode
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_PARAMETER
from homeport_protocol.requests import (
    RESERVED_OPS,
    AcknowledgeLoss,
    Find,
    FindFlapping,
    Get,
    Heartbeat,
    ListHubs,
    Pick,
    Ping,
    Register,
    Remove,
    Request,
    Resume,
    Unregister,
    Unwatch,
    Update,
    Watch,
)
from homeport_protocol.websocket import SUBPROTOCOL, WEBSOCKET_PATH

Document = dict[str, Any]

ANSWERS: dict[type, type] = {
    Register: Registered,
    Resume: Registered,
    Heartbeat: HeartbeatAck,
    Update: Updated,
    Unregister: Unregistered,
    Remove: Removed,
    Find: Agents,
    FindFlapping: Flapping,
    Get: Agent,
    Pick: Agent,
    Watch: Watching,
    Unwatch: Unwatched,
    Ping: Pong,
    ListHubs: Hubs,
    AcknowledgeLoss: LossAcknowledged,
}
"""The answer to each request, unless it is an `Error`."""

CLOSE_WORDS: dict[CloseCode, str] = {
    CloseCode.DONE: "Done: the agent unregistered, or the peer closed.",
    CloseCode.GOING_AWAY: "The hub is going away; the reason carries `retry in N s`.",
    CloseCode.TOO_LARGE: "A message exceeded the bound.",
    CloseCode.INTERNAL: "A bug in the hub; connect again.",
    CloseCode.PROTOCOL_ERROR: "Ten malformed messages in a row, or a binary frame.",
    CloseCode.UNAUTHORIZED: "No valid credentials.",
    CloseCode.FORBIDDEN: "The credentials do not allow this.",
    CloseCode.LEASE_LOST: "The lease ran out in silence; connect and resume.",
    CloseCode.FENCED: "A newer session of the same agent took over; do not reconnect.",
    CloseCode.READS_TOO_SLOWLY: "The peer did not read for too long; connect and watch again.",
    CloseCode.RATE_LIMITED: "Too many messages; connect again later.",
}

_CHANNEL = "#/channels/homeport"


def asyncapi() -> Document:
    """The whole document: every message with its direction, every error and close code."""
    requests: list[type] = list(get_args(Request))
    pushed: list[type] = [Snapshot, Event, Reading]
    answers = [*dict.fromkeys(ANSWERS.values()), Error]
    messages = [*requests, *answers, *pushed]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Homeport",
            "version": CONTRACT_VERSION,
            "description": (
                "Agents register and heartbeat, callers find and watch them, all over one "
                "websocket. A message is one text frame with one JSON object; `op` names its kind. "
                "Every request has an `id`, and exactly one answer has the same `id`; the "
                "requests of one connection are answered in order. Unknown fields are ignored, "
                "except in a filter. Actions are the hub's: it receives requests, and sends "
                f"answers. Reserved, and answered `unknown_op`: {', '.join(RESERVED_OPS)}."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "A hub with its default address.",
            }
        },
        "channels": {"homeport": _channel([each.__name__ for each in messages])},
        "operations": {
            **{_name(each): _receive(each) for each in requests},
            **{_name(each): _send(each) for each in pushed},
        },
        "components": {
            "messages": {each.__name__: _message(each) for each in messages},
            "schemas": websocket_components("#/components/schemas/{name}"),
        },
    }


def _channel(messages: list[str]) -> Document:
    return {
        "address": WEBSOCKET_PATH,
        "description": (
            f"The subprotocol `{SUBPROTOCOL}` is chosen when offered, and not required. There is "
            f"no compression. A message has at most {MAX_FRAME_BYTES} bytes, unless the hub is "
            "set otherwise."
        ),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {NAMESPACE_PARAMETER: NAMESPACE_SCHEMA}},
                "headers": {
                    "type": "object",
                    "properties": {
                        NAMESPACE_HEADER: NAMESPACE_SCHEMA,
                        "Sec-WebSocket-Protocol": {"const": SUBPROTOCOL},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {str(int(code)): words for code, words in CLOSE_WORDS.items()},
        "x-error-codes": {
            code: {
                "retryable": failure.retryable,
                **({} if failure.retry_after is None else {"retry_after": failure.retry_after}),
            }
            for code, failure in FAILURES.items()
        },
    }


def _receive(request: type) -> Document:
    answer = ANSWERS.get(request)
    if answer is None:
        raise TypeError(f"ANSWERS in asyncapi.py lacks the answer to {request.__name__}")
    return {
        "action": "receive",
        "channel": {"$ref": _CHANNEL},
        "summary": _summary(request),
        "messages": [_in_channel(request)],
        "reply": {
            "channel": {"$ref": _CHANNEL},
            "messages": [_in_channel(answer), _in_channel(Error)],
        },
    }


def _send(message: type) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": _CHANNEL},
        "summary": _summary(message),
        "messages": [_in_channel(message)],
    }


def _message(message: type) -> Document:
    name = _name(message)
    document: Document = {
        "name": name,
        "title": message.__name__,
        "summary": _summary(message),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
    }
    if message not in (Snapshot, Event, Reading):
        # The answer to a malformed request has a null id when none could be read.
        document["correlationId"] = {
            "description": "The request's own id.",
            "location": "$message.payload#/id",
        }
    return document


def _in_channel(message: type) -> Document:
    return {"$ref": f"{_CHANNEL}/messages/{message.__name__}"}


def _name(message: Any) -> str:
    return str(message.__struct_config__.tag)


def _summary(message: type) -> str:
    return " ".join((message.__doc__ or "").split("\n\n")[0].split())
