"""The open websockets by the principal that each was opened for, to end those of one that ended."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.errors import CloseCode

CHECK_INTERVAL = 0.5
"""Seconds between two looks whether a principal has run out."""


class OpenSession(Protocol):
    """An open websocket."""

    def end(self, code: CloseCode, reason: str) -> None:
        """End it: nothing that has come from the peer is done, nor more sent to it."""
        ...


class OpenSessions:
    """Ends websockets with 4401; `ended` says why a principal may go on no longer, or None.

    That a principal runs out is seen by this hub's own clock, whether or not the store answers.
    Needs a running loop.
    """

    def __init__(
        self, ended: Callable[[Principal], str | None], wall: Callable[[], float] = time.time
    ) -> None:
        self._ended = ended
        self._wall = wall
        self._links: dict[Principal, set[OpenSession]] = {}
        self._principals: dict[OpenSession, Principal] = {}
        self._next_end = math.inf
        """No principal runs out before that."""
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._tick)

    def opened(self, link: OpenSession, principal: Principal) -> None:
        """A websocket is open."""
        if principal is ANYBODY:
            return
        self._links.setdefault(principal, set()).add(link)
        self._principals[link] = principal
        if principal.not_after is not None:
            self._next_end = min(self._next_end, principal.not_after)
        if self._ended(principal) is not None:  # since it was recognised, a moment ago
            asyncio.get_running_loop().call_soon(self.check)

    def closed(self, link: OpenSession) -> None:
        """It has ended."""
        principal = self._principals.pop(link, None)
        if principal is None:
            return
        links = self._links[principal]
        links.discard(link)
        if not links:
            del self._links[principal]

    def principal_ids(self) -> set[str]:
        """The principals that have a websocket open."""
        return {each.id for each in self._links}

    def check(self) -> None:
        """End every websocket whose principal has ended; called when that may have changed."""
        self._next_end = math.inf
        for principal, links in list(self._links.items()):
            reason = self._ended(principal)
            if reason is not None:
                for link in list(links):
                    link.end(CloseCode.UNAUTHORIZED, reason)
            elif principal.not_after is not None:
                self._next_end = min(self._next_end, principal.not_after)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._tick)
        if self._wall() >= self._next_end:
            self.check()
