"""Whether the Redis user may do all that a hub does, asked before the hub depends on it."""

from __future__ import annotations

from hub.store.backends.failures import StoreError, not_allowed, not_known
from hub.store.backends.lane import Lane
from hub.store.keys import Keys
from hub.store.scripts import PROBE


async def check_permissions(lane: Lane, keys: Keys) -> None:
    """Try every command and every kind of key; what is tried leaves nothing behind.

    Raises StoreError, whose sentence names what is not allowed and the rule that allows it, and as
    `lane` does.
    """
    used = [keys.active, keys.agent("probe"), keys.hub("probe"), keys.epoch("probe"), keys.aside]
    answer = await lane.run(PROBE, [keys.probe], used)
    denied, unknown, closed, user = (each.decode(errors="replace").split() for each in answer)
    name = user[0] if user else None
    if denied:
        raise StoreError(not_allowed(denied, user=name))
    if unknown:
        raise StoreError(not_known(unknown))
    if closed:
        raise StoreError(
            f"the Redis user may not use the key {closed[0]}: allow all keys of hubs with "
            f"ACL SETUSER {name or 'NAME'} ~{keys.prefix}*"
        )
