"""RFC 3339 timestamps in UTC, always `YYYY-MM-DDTHH:MM:SS.ffffffZ` (27 characters)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def format_timestamp(unix: float) -> str:
    """The time `unix` (seconds since 1970) as text, to the nearest microsecond.

    A float of today's size is exact to a quarter of a microsecond, so a parsed timestamp is written
    as it was read; rounding down would lose a microsecond each time.
    """
    seconds, microseconds = divmod(round(unix * 1_000_000), 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z"


def parse_timestamp(text: str) -> float:
    """Seconds since 1970; accepts any RFC 3339 offset and fraction, as in legacy records.

    Raises ValueError when `text` is not a timestamp.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no offset")
    return instant.timestamp()


def normalize_timestamp(text: str) -> str:
    """The same time in the one form used here; raises ValueError as `parse_timestamp` does."""
    return format_timestamp(parse_timestamp(text))
