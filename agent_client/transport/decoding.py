"""Decoding a hub's messages, including those of newer hubs that this client cannot read."""

from __future__ import annotations

import logging

import msgspec
from msgspec import UNSET, Struct, UnsetType

from agent_client.errors import HomeportError, refused
from agent_client.records import AgentRecord
from homeport_protocol import answers
from homeport_protocol.answers import Error
from homeport_protocol.codec import read_float

logger = logging.getLogger("homeport.client")


Answer = (
    answers.Registered
    | answers.HeartbeatAck
    | answers.Updated
    | answers.Unregistered
    | answers.Removed
    | answers.Agents[AgentRecord]
    | answers.Agent[AgentRecord]
    | answers.Watching
    | answers.Unwatched
    | answers.Pong
    | answers.Hubs
    | answers.LossAcknowledged
    | answers.Flapping
    | answers.Error
)
"""The answers of a hub; their records are decoded straight to the public type."""

Message = Answer | answers.Snapshot[AgentRecord] | answers.Event[AgentRecord] | answers.Reading

_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message, float_hook=read_float)


class NotUnderstood(Struct, frozen=True, kw_only=True):
    """An answer to a request of this client that it cannot read, because the hub is newer.

    `code` is the error code if it is an error, else empty.
    """

    id: int | str
    code: str
    message: str
    retryable: bool = False
    retry_after: float | UnsetType = UNSET


class _Envelope(Struct):
    op: str
    id: int | str | None = None
    code: str = ""
    message: str = ""
    retryable: bool = False
    retry_after: float | UnsetType = UNSET


_envelope = msgspec.json.Decoder(_Envelope)


def decode(data: bytes) -> Message | NotUnderstood | None:
    """Decode one message of a hub; None when it cannot be read and answers no request."""
    try:
        return _message.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = error
    try:
        envelope = _envelope.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        logger.warning("ignored a message of the hub that is not of the protocol: %s", problem)
        return None
    if envelope.id is None:
        logger.debug("ignored a message %r of the hub: %s", envelope.op[:64], problem)
        return None
    if envelope.op == "error":
        return NotUnderstood(
            id=envelope.id,
            code=envelope.code,
            message=envelope.message,
            retryable=envelope.retryable,
            retry_after=envelope.retry_after,
        )
    return NotUnderstood(
        id=envelope.id,
        code="",
        message=f"the hub's answer {envelope.op[:64]!r} is not understood ({problem}); "
        "the hub may be newer than this client",
    )


def failure(answer: Error | NotUnderstood) -> HomeportError:
    """The exception for an answer that is an error, or that cannot be read."""
    field = answer.field if isinstance(answer, Error) else UNSET
    outcome = answer.outcome if isinstance(answer, Error) else UNSET
    return refused(
        answer.code,
        answer.message,
        retryable=answer.retryable,
        retry_after=None if answer.retry_after is UNSET else answer.retry_after,
        field=None if field is UNSET else field,
        outcome=None if outcome is UNSET else outcome,
    )
