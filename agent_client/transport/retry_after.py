"""The header `Retry-After`, of a hub or of a proxy in front of it."""

from __future__ import annotations

import time
from email.utils import mktime_tz, parsedate_tz

from agent_client.errors import LONGEST_HINT


def retry_after(header: str) -> float | None:
    """The seconds that the header asks for, in its form of seconds or of a date; at most 30.

    None when it can be read as neither, or is a date that has passed.
    """
    seconds = _unbounded(header.strip())
    return None if seconds is None else min(seconds, LONGEST_HINT)


def _unbounded(header: str) -> float | None:
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        date = parsedate_tz(header)
        seconds = -1.0 if date is None else mktime_tz(date) - time.time()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
