"""The embedded store engine: a private, real Valkey or Redis server for one hub.

The server listens on a unix socket only, keeps its data in the hub's data directory, and runs
exactly as long as the hub: a guard process holds a pipe to the hub, and stops the server when the
pipe ends, however the hub ended.
"""

from hub.engine.attach import attached
from hub.engine.binary import ServerBinary, find_server
from hub.engine.engine import EmbeddedEngine
from hub.engine.repair import repair_data
from hub.errors import EngineError

__all__ = [
    "EmbeddedEngine",
    "EngineError",
    "ServerBinary",
    "attached",
    "find_server",
    "repair_data",
]
