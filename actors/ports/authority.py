"""The port to what is known of principals beyond their own facts: revocations, and uses left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from homeport_protocol.errors import ProtocolError


class Authority(Protocol):
    """What a hub knows of the tokens of its principals."""

    def revoked(self, principal_id: str) -> bool:
        """Whether the principal was revoked: nobody acts for its agents any more.

        False for one that has run out: its agents go on by their session tokens. Asked from memory
        when an agent resumes, or a caller over HTTP shows a session token.
        """
        ...

    def take_use(self, principal_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        """Take one of the registrations that the principal has left, atomically in the cluster.

        Only called for a principal whose uses are `limited`. Answers once: None when one was taken,
        `forbidden` when none is left, `unavailable` when that cannot be known now.
        """
        ...

    def give_back_use(self, principal_id: str) -> None:
        """The registration was not made: give the use back."""
        ...
