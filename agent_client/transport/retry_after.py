"""The header `Retry-After`, of a hub or of a proxy in front of it."""

from __future__ import annotations

import time
from email.utils import mktime_tz, parsedate_tz

from agent_client.errors import LONGEST_HINT


def retry_after(header: str) -> float | None:
    """The seconds that the header asks for, in its form of seconds or of a date; at most 30.

    None when it can be read as neither.
    """
    seconds = _unbounded(header.strip())
    return None if seconds is None else min(seconds, LONGEST_HINT)


def _unbounded(header: str) -> float | None:
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        date = parsedate_tz(header)
        return None if date is None else max(0.0, mktime_tz(date) - time.time())
    except (ValueError, OverflowError):
        return None
