"""What a hub knows of its principals where nobody is asked for a token."""

from __future__ import annotations

from collections.abc import Callable

from homeport_protocol.errors import ProtocolError


class OpenAuthority:
    """Where nobody is asked for a token: nothing is revoked, and no principal has limited uses."""

    def revoked(self, principal_id: str) -> bool:
        """Never."""
        return False

    def take_use(self, principal_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        """Always."""
        reply(None)

    def give_back_use(self, principal_id: str) -> None:
        """Nothing was taken."""
