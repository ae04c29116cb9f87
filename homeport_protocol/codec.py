"""The one codec: bytes to typed requests, typed answers to bytes.

Sizes are bounded before decoding, by the frame limit. Untrusted JSON can make the decoder raise
three kinds of exception (msgspec's own, UnicodeDecodeError and RecursionError). All of them become
a ProtocolError, which names the wrong field where msgspec knows it.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from math import isinf
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from homeport_protocol.answers import Error, Message
from homeport_protocol.bounds import KINDS, PATTERNS, STATUSES, STRATEGIES, RequestId
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from homeport_protocol.requests import RESERVED_OPS, Request

T = TypeVar("T")

LARGE = 4096
"""Bytes from which on it is looked how many numbers with an exponent a message has."""

FEW_EXPONENTS = 256
"""Beyond that a large message is decoded in two steps."""

MAX_EXPONENTS = 4096
"""Numbers with an exponent in one large message; 16 KiB of metadata cannot hold more."""


def read_float(text: str) -> float:
    """The `float_hook` of every decoder of what others wrote; raises ValueError beyond a float.

    msgspec itself takes 15 microseconds for a number such as 1e308, and so 0.1 s for 64 KiB.
    """
    value = float(text)
    if isinf(value):
        raise ValueError("number out of range")
    return value


_encoder = msgspec.json.Encoder()
_request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request, float_hook=read_float)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message, float_hook=read_float)
_record = msgspec.json.Decoder(AgentRecord, float_hook=read_float)

encode = _encoder.encode
"""Encode a Struct or a JSON value to compact JSON in UTF-8."""

decode_message = _message.decode
"""Decode a hub's message to its Struct, in a client; raises msgspec.MsgspecError."""

decode_record = _record.decode
"""Decode a stored record to `AgentRecord`; raises msgspec.MsgspecError."""


class _Op(Struct, frozen=True):
    op: str


class _RequestId(Struct, frozen=True):
    id: RequestId


_op = msgspec.json.Decoder(_Op)
_request_id = msgspec.json.Decoder(_RequestId)
_fields = msgspec.json.Decoder(dict[str, Raw])
_FILTER_KEYS = frozenset(Filter.__struct_fields__)

MAX_QUOTED = 300
"""Characters of msgspec's message, or of a field's path, that an error repeats."""

_LONG_S = "\u017f".encode()
_EXPONENT = re.compile(rb"[0-9][eE][-+]?[0-9]")  # also where it is in a string
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity)\b")  # as many encoders write them
_WHERE = re.compile(r" - at `(?:key in )?\$(.*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]*)`")
_NAMED = re.compile(r"^`([\w.]+)`: ")  # by the bounds of a whole Struct
_INDEX = re.compile(r"\[[^]]*\]")
_TYPE = re.compile(r"`(\w+(?: \| \w+)*)`")
_TYPE_WORDS = {
    "array": "an array",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "an object",
    "str": "text",
}
_LENGTH = re.compile(r"\b(text|array|object) of length (>=|<=) (\d+)")
_PATTERN = re.compile(r"matching regex (.*)$", re.DOTALL)
_PATTERN_WORDS = {repr(pattern): words for pattern, words in PATTERNS.items()}
_KNOWN_VALUES: dict[str, tuple[str, ...]] = {
    "status": STATUSES,
    "strategy": STRATEGIES,
    "kinds": KINDS,
}


def decode_request(data: bytes) -> Request:
    """Decode one text frame to its request; a field that is null is absent.

    Raises ProtocolError `bad_request` (with `field` if one is wrong) or `unknown_op`, with
    `request_id` if the sender's id could be read.
    """
    try:
        try:
            if len(data) < LARGE:
                return _request.decode(data)
            return _decode_large(data, _request)
        except msgspec.ValidationError:
            # Few clients send nulls, so the others do not pay for them.
            if b"null" not in data:
                raise
            data = _without_nulls(data)
            return _decode_large(data, _request)
    except msgspec.ValidationError as error:
        raise _explain(data, error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("bad_request", _malformed(data, error)) from None


def decode_json(data: bytes, type_: type[T], decoder: msgspec.json.Decoder[T]) -> T:
    """Decode one HTTP body to `type_`; raises ProtocolError `bad_request` as `decode_request`.

    Names of fields count in any case, and a body `null` is an empty object, as the legacy service
    read them. A byte order mark is passed over.
    """
    try:
        return _decode_large(_as_legacy(data), decoder)
    except msgspec.ValidationError as error:
        message, field = _locate(error)
        raise ProtocolError("bad_request", message, field=field) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("bad_request", _malformed(data, error)) from None


def _decode_large(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode without taking long for its numbers; raises as the decoder does.

    The decoder does not ask its `float_hook` about typed fields, and a field may be repeated. So
    where there are many numbers they are read first, and types come later.
    """
    if len(data) < LARGE or len(_EXPONENT.findall(data)) <= FEW_EXPONENTS:
        return decoder.decode(data)
    exponents = 0

    def read(text: str) -> float:
        nonlocal exponents
        if "e" in text or "E" in text:
            exponents += 1
            if exponents > MAX_EXPONENTS:
                raise ValueError(f"more than {MAX_EXPONENTS} numbers with an exponent")
        return read_float(text)

    value = msgspec.json.Decoder(float_hook=read).decode(data)
    return msgspec.convert(value, decoder.type)


def convert(value: Any, type_: type[T], prefix: str = "") -> T:
    """Convert a value (of query parameters or a Python caller) to `type_`, with the same errors."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        message, field = _locate(error, prefix)
        raise ProtocolError("bad_request", message, field=field) from None


def error_answer(error: ProtocolError, request_id: int | str | None) -> Error:
    """The answer for a failure, to the request of that id (None: the id could not be read)."""
    return Error(
        id=request_id,
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after=msgspec.UNSET if error.retry_after is None else error.retry_after,
        field=msgspec.UNSET if error.field is None else error.field,
        outcome=msgspec.UNSET if error.outcome is None else error.outcome,
    )


def _without_nulls(data: bytes) -> bytes:
    """The request without those of its fields, its agent's and its filter's keys that are null.

    An unknown key of a filter stays, for it is an error. So do the nulls in `metadata`.
    """
    try:
        fields = _given(_fields.decode(data))
        if "agent" in fields:
            fields["agent"] = Raw(encode(_given(_fields.decode(fields["agent"]))))
        if "filter" in fields:
            keys = _fields.decode(fields["filter"])
            given = _given(keys) | {key: keys[key] for key in keys.keys() - _FILTER_KEYS}
            fields["filter"] = Raw(encode(given))
        return encode(fields)
    except msgspec.ValidationError:  # of another shape, which the next decoder names
        return data


def _as_legacy(data: bytes) -> bytes:
    """The body with the names of its fields in lower case; the last of two equal ones counts."""
    data = data.removeprefix(BOM_UTF8)
    if data.strip() == b"null":
        return b"{}"
    if data == data.lower() and b"\\u" not in data and _LONG_S not in data:
        return data
    try:
        return encode({_folded(name): value for name, value in _fields.decode(data).items()})
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return data


def _folded(name: str) -> str:
    """The name in lower case, as Go compares names: its long s is an s."""
    return name.replace("\u017f", "s").lower()


def _given(fields: dict[str, Raw]) -> dict[str, Raw]:
    return {name: value for name, value in fields.items() if bytes(value) != b"null"}


def _explain(data: bytes, error: msgspec.ValidationError) -> ProtocolError:
    request_id: int | str | None = None
    try:
        request_id = _request_id.decode(data).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    message, field = _locate(error)
    if field == "op":
        try:
            op = _op.decode(data).op
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            hint = " (reserved for a later version)" if op in RESERVED_OPS else ""
            return ProtocolError(
                "unknown_op",
                f"unknown op {op[:64]!r}{hint}",
                field="op",
                request_id=request_id,
            )
    return ProtocolError("bad_request", message, field=field, request_id=request_id)


def _locate(error: msgspec.ValidationError, prefix: str = "") -> tuple[str, str | None]:
    text = str(error)
    where = _WHERE.search(text)
    path = _INDEX.sub("", where.group(1)).removeprefix(".") if where else ""
    missing = _MISSING.search(text) or _UNKNOWN.search(text)
    if missing:
        path = f"{path}.{missing.group(1)}" if path else missing.group(1)
    text = text[: where.start()] if where else text
    named = _NAMED.search(text)
    if named:
        path = f"{path}.{named.group(1)}" if path else named.group(1)
        text = text[named.end() :]
    words = _shorten(_plain(text, path))
    path = _shorten(f"{prefix}{path}".rstrip("."))
    return (f"{path}: {words}" if path else words), (path or None)


def _shorten(text: str) -> str:
    # The text may quote a value of the sender, which may be as long as a whole frame.
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def _plain(words: str, path: str) -> str:
    """msgspec's message without regular expressions, and with the accepted values."""
    pattern = _PATTERN.search(words)
    if pattern:
        # msgspec shows a pattern by its repr; the patterns of `bounds` are looked up by theirs.
        return _PATTERN_WORDS.get(pattern.group(1), "does not have the form that is asked for")
    known = _KNOWN_VALUES.get(path.rpartition(".")[2])
    if known and "enum value" in words:
        words = f"{words}; one of {', '.join(known)} is expected"
    words = words[:1].lower() + words[1:]
    if not words.startswith("expected "):  # it may quote the sender
        return words
    return _LENGTH.sub(_as_size, _TYPE.sub(_in_words, words))


def _in_words(found: re.Match[str]) -> str:
    types = (name for name in found[1].split(" | ") if name != "null")
    return " or ".join(_TYPE_WORDS.get(name, name) for name in types) or "null"


def _as_size(found: re.Match[str]) -> str:
    count = int(found[3])
    unit = "character" if found[1] == "text" else "element"
    bound = "at least" if found[2] == ">=" else "at most"
    return f"{found[1]} of {bound} {count} {unit}{'' if count == 1 else 's'}"


def _malformed(data: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "not acceptable JSON: nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    hint = "; JSON has no NaN and no Infinity" if _NOT_A_NUMBER.search(data) else ""
    return f"not valid JSON: {error}{hint}"
