"""The port between the store and the one or more Redis servers behind a URL."""

from __future__ import annotations

from typing import Protocol

from hub.store.backends.lane import Lane


class Backend(Protocol):
    """The servers that hold keys. Nothing is sent before a lane is used."""

    hash_tags: bool
    """Whether keys are distributed by hash tags, so that related keys need a common one."""

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the server that holds `key`; the server is looked up for each connection.

        Each command may take `timeout` seconds, None for the backend's default. The caller closes
        the lane with `drop`.
        """
        ...

    async def check(self) -> list[str]:
        """Warnings about the servers' settings, one sentence each.

        Raises StoreError when they are unsuitable, and as a lane does when they cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Close the backend's own connections; owners close their lanes."""
        ...
