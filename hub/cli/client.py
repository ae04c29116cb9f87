"""Connecting to a hub, and the sentence that says why that failed."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent_client import HubClient
from agent_client.errors import CannotConnect, HomeportError
from agent_client.transport.reasons import mismatch
from hub.cli.options import Target
from hub.cli.text import one_line
from hub.errors import HubError

_ERRNO = re.compile(r"\[Errno (\d+)\]")
_SECURE = ("https:", "wss:")


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[HubClient]:
    """A client of the hub at `target`; raises HubError when it cannot be reached."""
    try:
        async with HubClient(target.urls, **target.client) as client:
            yield client
    except CannotConnect as error:
        raise cannot_reach(target, error) from error


def cannot_reach(target: Target, error: CannotConnect) -> HubError:
    """The error for a hub that cannot be reached."""
    hint = 'start one with "homeport serve", or give --url'
    proxy, through = _proxy(error), ""
    if proxy is not None:
        hint, through = (
            "hosts named in NO_PROXY are reached directly",
            f" through the proxy {proxy}",
        )
    return HubError(
        f"cannot reach a hub at {target.shown}{through} ({_why(target, error)}); {hint}"
    )


def _proxy(error: BaseException | None) -> str | None:
    while isinstance(error, HomeportError) and error.proxy is None:
        error = error.__cause__
    return error.proxy if isinstance(error, HomeportError) else None


def _why(target: Target, error: CannotConnect) -> str:
    """What the connection failed of; of several hubs, at the last one that was tried."""
    url, cause = error.url, error.__cause__
    while isinstance(cause, HomeportError):
        url, cause = cause.url or url, cause.__cause__
    if cause is None:
        return one_line(str(error))
    words = mismatch(cause, secure=(url or target.urls[0]).startswith(_SECURE))
    if words is not None:
        return one_line(words)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        return "no such host"
    # A name with several addresses fails with one text that has the errors of all of them.
    number = getattr(cause, "errno", None) or next(map(int, _ERRNO.findall(str(cause))), None)
    return os.strerror(number).lower() if number else one_line(str(cause))
