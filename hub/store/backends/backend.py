"""What the store stands on: the Redis servers behind one URL, however many they are."""

from __future__ import annotations

from typing import Protocol

from hub.store.backends.lane import Lane


class Backend(Protocol):
    """Where keys are kept, and how to get there. Nothing is sent before a lane is used."""

    hash_tags: bool
    """Whether keys are spread by their hash tags, so that what belongs together needs one."""

    def lane(self, key: bytes, timeout: float | None = None) -> Lane:
        """A lane to the server that holds `key`, which is looked up anew at each connection.

        Each command has `timeout` seconds, None for what the backend was made with. The caller
        ends it with `drop`.
        """
        ...

    async def check(self) -> list[str]:
        """What is unwise about the servers' settings, one sentence each.

        Raises StoreError when they can never do, and what a lane raises when they cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Close what the backend itself keeps open; lanes are their owners'."""
        ...
