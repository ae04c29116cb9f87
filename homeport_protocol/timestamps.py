"""RFC 3339 timestamps in UTC, always `YYYY-MM-DDTHH:MM:SS.ffffffZ` (27 characters)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def format_timestamp(unix: float) -> str:
    """The instant `unix` (seconds since 1970) as text, to the nearest microsecond.

    A float of today's size is good to a quarter of a microsecond, so that a parsed timestamp is
    written as it was read; rounding down would lose a microsecond each time around.
    """
    seconds, microseconds = divmod(round(unix * 1_000_000), 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z"


def parse_timestamp(text: str) -> float:
    """Seconds since 1970; accepts any RFC 3339 offset and fraction, as legacy records hold.

    Raises ValueError when `text` is no timestamp.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no offset")
    return instant.timestamp()


def normalize_timestamp(text: str) -> str:
    """The same instant in the one form used here; raises ValueError as `parse_timestamp`."""
    return format_timestamp(parse_timestamp(text))
