"""A server that does not answer."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path


class DeafServer:
    """Listens, reads everything, and never answers."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        self.url = f"unix://{self.directory / 's'}"
        self.heard = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._listen, self.directory / "s")

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                self.heard.set()
        finally:
            writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        shutil.rmtree(self.directory, ignore_errors=True)
