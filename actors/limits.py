"""The settings that bound what one namespace may take, in numbers and in bytes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

LimitName = Literal["max_log_bytes"]
"""The settings that the brain reports when it applies them."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a namespace holds at most. Bytes are those of records as JSON."""

    log_length: int = 50_000
    max_log_bytes: int = 64 * 1024 * 1024
