"""The settings that bound what one namespace may take, in numbers and in bytes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

LimitName = Literal[
    "handshake_timeout",
    "max_agent_bytes",
    "max_agents",
    "max_body_bytes",
    "max_connections",
    "max_connections_per_address",
    "max_frame_bytes",
    "max_handshakes",
    "max_log_bytes",
    "max_namespaces",
    "max_rate",
    "max_registrations_per_second",
    "max_total_unsent_bytes",
    "max_unparsed_bytes",
    "max_unsent_bytes",
    "max_watches",
    "open_namespaces",
    "request_timeout",
    "send_timeout",
]
"""The settings whose application is counted and logged."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a namespace holds at most. Bytes are those of records as JSON."""

    log_length: int = 50_000
    max_log_bytes: int = 64 * 1024 * 1024
    max_agents: int = 100_000
    max_agent_bytes: int = 256 * 1024 * 1024
    max_watches: int = 64
    """Watches of one connection."""
