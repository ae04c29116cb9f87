"""Limits that were applied: each is counted, and logged once a minute at most."""

from __future__ import annotations

import time

from actors.limits import LimitName
from hub.telemetry import logs
from hub.telemetry.metrics import Metrics

LOG_EVERY = 60.0
"""Seconds between two log lines about the same setting."""

_WORDS: dict[LimitName, str] = {
    "handshake_timeout": "a connection is closed that made no request",
    "max_agent_bytes": "a namespace is full: registrations and larger records are refused",
    "max_agents": "a namespace is full: registrations are refused",
    "max_body_bytes": "a request is refused: its body is too large",
    "max_connections": "a connection is refused: this hub holds too many",
    "max_connections_per_address": "a connection is refused: its address holds too many",
    "max_frame_bytes": "a websocket is closed: its message is too large",
    "max_handshakes": "a connection is closed that made no request: there are too many of them",
    "max_log_bytes": "the change log is full: older changes are dropped, and watches resume less "
    "far back",
    "max_namespaces": "a namespace is not served: there are too many",
    "max_rate": "a websocket is closed: it sends too many frames",
    "max_registrations_per_second": "a registration is refused: its principal registers too fast",
    "max_total_unsent_bytes": "peers that read too slowly are cut off: too much is unsent in all",
    "max_unparsed_bytes": "a peer that sends much at once is cut off: too much waits to be parsed",
    "max_unsent_bytes": "a peer that reads too slowly is cut off: too much is unsent",
    "max_watches": "a watch is refused: its connection holds too many",
    "open_namespaces": "a namespace is not made: callers without a token have made too many",
    "request_timeout": "a request is refused: it did not arrive in time",
    "send_timeout": "a peer that reads nothing is cut off",
}

logger = logs.get("hub.limits")


class LimitReports:
    """Reports the limits of one hub. No method raises."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._logged_at: dict[str, float] = {}

    def applied(self, setting: LimitName, **context: object) -> None:
        """A limit was applied; `context` goes to the log."""
        self._metrics.limited(setting)
        now = time.monotonic()
        if now - self._logged_at.get(setting, -LOG_EVERY) >= LOG_EVERY:
            self._logged_at[setting] = now
            logger.warning(_WORDS[setting], setting=setting, **context)
