"""Which hubs of the cluster are alive, according to their leases."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from actors.ports.store import HubLease, HubReport, Roster
from hub.settings.model import HUB_ID
from hub.store.backends.lane import Lane
from hub.store.keys import LARGEST, Keys
from hub.store.scripts import ROSTER

_FIELDS = 8
_HUB_ID = re.compile(HUB_ID.encode())
_LONGEST = 256
_DIGITS = 16
_NOTHING = [b"", b"", b"1", b"0", b"0", b"0"]


async def read_roster(lane: Lane, keys: Keys, hub_id: str) -> Roster:
    """The living hubs; no lease is renewed."""
    answer = await _ask(lane, keys, hub_id, _NOTHING, known=set())
    assert answer is not None
    return answer


async def renew_lease(
    lane: Lane,
    keys: Keys,
    hub_id: str,
    report: HubReport,
    *,
    generation: bytes,
    log: str,
    lease: bytes,
    connection_number: int,
    known: set[bytes],
) -> Roster | None:
    """Renew the hub's lease; return the living hubs, or None if it is of another generation.

    `known` are the ids of the hubs as of the last time, and are updated: while they are the same,
    this takes one round trip. Raises ReconnectedError as `Lane.run` does.
    """
    arguments = [
        generation,
        log.encode(),
        lease,
        b"%d" % report.agents,
        b"%d" % report.sessions,
        b"%d" % report.revision,
    ]
    return await _ask(
        lane, keys, hub_id, arguments, connection_number=connection_number, known=known
    )


async def _ask(
    lane: Lane,
    keys: Keys,
    hub_id: str,
    renewal: list[bytes],
    *,
    connection_number: int | None = None,
    known: set[bytes],
) -> Roster | None:
    own = hub_id.encode()

    async def roster(ids: set[bytes]) -> Any:
        ordered = sorted(ids)
        return await lane.run(
            ROSTER,
            [
                *(keys.log_name, keys.log, keys.loss, keys.hubs, keys.lease(own)),
                *(keys.lease(each) for each in ordered),
            ],
            [*renewal, own, *ordered],
            connection_number=connection_number,
        )

    # Two steps, because a script may only use keys that it is given; both at once with those of the
    # last time. A hub that is added in between is seen the next time, and the script alone decides
    # whether a hub is alive.
    last = {own, *known}
    members, answer = await asyncio.gather(lane.ask(b"SMEMBERS", keys.hubs), roster(last))
    ids = {own, *(each for each in members if _HUB_ID.fullmatch(each))}
    known.clear()
    known |= ids
    if ids != last:
        answer = await roster(ids)
    if answer == b"fenced":
        return None
    hubs = [_lease(answer[at : at + _FIELDS]) for at in range(2, len(answer), _FIELDS)]
    hubs.sort(key=lambda hub: hub.hub_id)
    return Roster(hubs, _number(answer[0]), _number(answer[1]))


def _lease(fields: list[bytes]) -> HubLease:
    hub_id, url, version, started, agents, sessions, revision, times = fields
    return HubLease(
        hub_id=_text(hub_id),
        url=_text(url),
        version=_text(version),
        started=_text(started),
        agents=_number(agents),
        sessions=_number(sessions),
        revision=_number(revision),
        times=_text(times),
    )


def _text(value: bytes) -> str:
    return value[:_LONGEST].decode(errors="replace")


def _number(value: bytes) -> int:
    number = int(value) if value.isdigit() and len(value) <= _DIGITS else 0
    return number if number <= LARGEST else 0
