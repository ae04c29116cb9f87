"""The warning that a token travels where others can read it."""

from __future__ import annotations

import logging

from agent_client.transport.headers import AUTHORIZATION, Headers
from agent_client.transport.proxies import is_loopback
from agent_client.transport.urls import Origin, origin, without_secrets

logger = logging.getLogger("homeport.client")

_warned: set[Origin] = set()


def warn_if_readable(url: str, headers: Headers) -> None:
    """Log a warning, once for each hub in a process, when a token goes there without TLS."""
    to = origin(url)
    if to.secure or is_loopback(to.host) or to in _warned or not headers.has(AUTHORIZATION):
        return
    _warned.add(to)
    logger.warning(
        "the token for %s travels without TLS, and anybody on the way can read it: use https://",
        without_secrets(url),
    )
