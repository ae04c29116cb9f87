"""Whether a token that has worked is refused for good.

| what happens to a client that has worked | what follows |
|---|---|
| 401 at a handshake | tried again: a proxy may say so, or a hub that has lost its tokens |
| a session is closed with 4401 | tried again: with another token if a file gives it |
| after 4401, with the same token, 401 five times in a row | over for good: revoked, or run out |
| after 4401, with a token or certificate from a file, 401 | tried again: it may be replaced |

A client that has not worked yet raises the first 401.
"""

from __future__ import annotations

_REFUSALS = 5


class Revocation:
    """What a client knows of this: that a hub ended a session, and how often it was refused since.

    The hub's word that ended the session tells a refusal from one of a proxy. It takes a few of
    them to be sure, as NATS clients do, since not all hubs learn of a token at once.
    """

    def __init__(self) -> None:
        self._refusals: int | None = None

    def session_ended(self) -> None:
        """A hub closed a session with 4401."""
        if self._refusals is None:
            self._refusals = 0

    def accepted(self) -> None:
        """A hub let the client in."""
        self._refusals = None

    def refused(self, *, replaceable: bool) -> bool:
        """A hub answered 401; returns whether it is useless to try again."""
        if self._refusals is None or replaceable:
            return False
        self._refusals += 1
        return self._refusals >= _REFUSALS
