"""What other hubs announce of entries that they renewed, which the log does not tell."""

from __future__ import annotations

from collections.abc import Iterator

from actors.ports.store import Renewal, Renewals
from hub.store.backends.lane import Lane
from hub.store.keys import Keys
from hub.store.scripts import READ_RENEWALS

PIECE = 100
"""Announcements of one command, each of a batch: at the largest, some 4 MB."""


async def read_renewals(lane: Lane, keys: Keys, hub_id: str, position: str) -> Renewals:
    """All that other hubs have announced since `position`, oldest first."""
    known, own = position.encode(), hub_id.encode()
    renewals: list[Renewal] = []
    while True:
        arguments = [known, own, b"%d" % PIECE]
        known, more, *found = await lane.run(READ_RENEWALS, [keys.seen], arguments)
        for age, text in zip(found[::2], found[1::2], strict=True):
            renewals += _renewals(text.decode(errors="replace"), age / 1000)
        if more == b"0":
            return Renewals(known.decode(), renewals)


def _renewals(text: str, age: float) -> Iterator[Renewal]:
    for line in text.split("\n"):
        agent_id, _, last_seen = line.rpartition(" ")
        yield Renewal(agent_id, last_seen, age)
