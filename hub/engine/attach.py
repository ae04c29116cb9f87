"""Using the data of an embedded store for a moment, whether or not its hub runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from hub.engine.data_directory import DataDirectory
from hub.engine.engine import EmbeddedEngine


@asynccontextmanager
async def attached(data_dir: str) -> AsyncIterator[str]:
    """The URL of the server with the data in `data_dir`: of the one that runs for a hub, else of
    one that is started for this and stopped afterwards.

    Raises EngineError as `EmbeddedEngine.start` does.
    """
    running = DataDirectory(data_dir).running_socket()
    if running is not None:
        yield f"unix://{quote(running)}"
        return
    engine = EmbeddedEngine(data_dir)
    url = await engine.start()
    try:
        yield url
    finally:
        await engine.stop()
