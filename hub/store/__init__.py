"""The durable side of a hub: the records, log and leases of namespaces in Redis.

`connect` makes a backend from a URL, and a `RedisStore` on it is the `actors.ports.store.Store` of
one namespace. All changes are made by the Lua scripts in `scripts/`.
"""

from hub.store.backends.backend import Backend
from hub.store.backends.connect import MEMORY, connect
from hub.store.backends.failures import StoreError, StoreUnavailableError
from hub.store.keys import Keys
from hub.store.latent_store import LatentStore
from hub.store.names import EMBEDDED, IN_MEMORY, REDIS
from hub.store.redis_store import RedisStore
from hub.store.repair import repair
from hub.store.shared_lanes import SharedLanes

__all__ = [
    "EMBEDDED",
    "IN_MEMORY",
    "MEMORY",
    "REDIS",
    "Backend",
    "Keys",
    "LatentStore",
    "RedisStore",
    "SharedLanes",
    "StoreError",
    "StoreUnavailableError",
    "connect",
    "repair",
]
