"""RFC 3339 timestamps in UTC, always `YYYY-MM-DDTHH:MM:SS.ffffffZ` (27 characters)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_timestamp(unix: float) -> str:
    """The instant `unix` (seconds since 1970) as text; rounds down to the microsecond."""
    seconds = int(unix)
    return f"{_second(seconds)}.{int((unix - seconds) * 1_000_000):06d}Z"


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
