"""The durable side of a hub: one namespace's records, log and leases in Redis.

`connect` makes a backend from a URL, and a `RedisStore` on it is the `actors.ports.store.Store` of
one namespace. Every change is made by the Lua scripts in `scripts/`.
"""

from hub.store.backends.backend import Backend
from hub.store.backends.connect import MEMORY, connect
from hub.store.backends.failures import StoreError, StoreUnavailableError
from hub.store.keys import Keys
from hub.store.redis_store import RedisStore

__all__ = [
    "MEMORY",
    "Backend",
    "Keys",
    "RedisStore",
    "StoreError",
    "StoreUnavailableError",
    "connect",
]
