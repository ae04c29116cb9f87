"""Logging: structlog and the standard library through one renderer, to stderr, without secrets.

A program calls `configure` once. Modules call `get` and log events: a constant phrase, with the
variable parts as keywords.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Literal, assert_never

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from homeport_protocol.tokens import TOKEN_PREFIX

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"(?:^|[_.\- ])(?:token|secret|passwords?|passwd|passphrase|authorization|credentials?|cookie"
    r"|api_?key|private_?key|tokens|secrets)$",
    re.IGNORECASE,
)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_IN_URL = re.compile(r"(?<=://)[^\s\"'<>]*@")  # to the last @: a password may hold / or @ itself
_IN_QUERY = re.compile(
    r"(?<=[?&])([\w.\-]*(?:token|secret|password|passwd|api_?key|authorization)=)[^&\s\"'#]+",
    re.IGNORECASE,
)
_IN_HEADER = re.compile(r"\b(bearer|basic)\s+(?!\[)[\w.~+/\-]{6,}=*", re.IGNORECASE)
_TOKENS = re.compile(rf"\b{TOKEN_PREFIX}\w{{20,}}|\beyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MANY_LINES = ("exception", "stack")

_MAX_DEPTH = 8
"""Levels of nested values that are searched for secrets; deeper values are not logged."""

_CHATTY = ("uvicorn", "uvicorn.access", "uvicorn.error", "websockets", "redis", "asyncio")
"""Libraries that log every connection; only their warnings are shown, unless the level is debug."""

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error", "critical"]


def configure(format: Format = "console", level: Level = "info") -> None:
    """Send all logging of this process to stderr in one form; may be called again.

    `console` is for people, with colours on a terminal (unless NO_COLOR is set); `json` is one
    object a line. Times are UTC.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                *_renderers(format),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in _CHATTY:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(
            logging.NOTSET if threshold <= logging.DEBUG else max(threshold, logging.WARNING)
        )
    logging.captureWarnings(True)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one part of the hub; usable at import time, before `configure`."""
    return structlog.stdlib.get_logger(name)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that takes secrets out of an event: see `redact_text` and `_SECRET_KEY`."""
    return {key: _redact_item(key, value, _MAX_DEPTH) for key, value in event.items()}


def redact_text(text: str) -> str:
    """`text` without user and password of URLs, secret query parameters, credentials and tokens."""
    if "@" in text:
        text = _IN_URL.sub(f"{REDACTED}@", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\1{REDACTED}", text)
    if TOKEN_PREFIX in text or "eyJ" in text:
        text = _TOKENS.sub(REDACTED, text)
    return _IN_HEADER.sub(rf"\1 {REDACTED}", text)


def _redact_item(key: object, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(key, str) and _SECRET_KEY.search(_CAMEL_CASE.sub("_", key)):
        return REDACTED
    return _redact_value(value, depth)


def _redact_value(value: object, depth: int) -> object:
    match value:
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no such number
        case int() | float() | None:
            return value
        case str():
            return redact_text(value)
        case _ if depth == 0:
            return "…"
        case Mapping():
            return {str(k): _redact_item(k, v, depth - 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redact_value(item, depth - 1) for item in value]
        case _:
            return redact_text(_describe(value))


def _describe(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # a broken repr must not lose the log line
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _renderers(format: Format) -> list[Processor]:
    match format:
        case "json":
            return [_event_first, structlog.processors.JSONRenderer()]
        case "console":
            colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
            renderer = structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback
            )
            return [_escape_controls, renderer]
        case _:
            assert_never(format)


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put first what a reader of JSON lines looks for."""
    head = ("timestamp", "level", "logger", "event")
    return {**{key: event[key] for key in head if key in event}, **event}


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep escape sequences and line breaks that come from peers away from the terminal."""
    return {
        key: _CONTROL.sub(lambda found: ascii(found[0])[1:-1], value)
        if isinstance(value, str) and key not in _MANY_LINES
        else value
        for key, value in event.items()
    }
