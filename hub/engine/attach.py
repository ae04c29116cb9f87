"""Using the data of an embedded store for a moment, whether or not its hub runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from hub.engine.data_directory import DataDirectory
from hub.engine.engine import EmbeddedEngine
from hub.errors import EngineError


@asynccontextmanager
async def attached(data_dir: str) -> AsyncIterator[str]:
    """The URL of the server with the data in `data_dir`: of the one that runs for a hub, else of
    one that is started for this and stopped afterwards.

    Raises EngineError as `EmbeddedEngine.start` does, and for a directory of another user whose hub
    does not run: the server would leave files there that the hub could not write.
    """
    directory = DataDirectory(data_dir)
    running = directory.running_socket()
    if running is not None:
        yield f"unix://{quote(running)}"
        return
    if directory.path.is_dir() and directory.path.stat().st_uid != os.geteuid():
        raise EngineError(
            f"the data directory {directory.path} belongs to another user: run this as that user, "
            "or while its hub runs"
        )
    engine = EmbeddedEngine(data_dir)
    url = await engine.start()
    try:
        yield url
    finally:
        await engine.stop()
