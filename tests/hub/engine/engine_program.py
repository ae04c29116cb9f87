"""A stand-in for a hub process: starts the engine on a directory, says so, and waits.

Prints one JSON line with the server's URL and its process id, or `error`. Ends
gracefully on SIGTERM; ignores SIGINT, as a hub that handles it by itself would survive it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import uvloop

from hub.engine import EmbeddedEngine, EngineError
from hub.telemetry import logs


async def main(data_dir: str) -> None:
    logs.configure("console", "warning")
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    engine = EmbeddedEngine(data_dir)
    try:
        url = await engine.start()
    except EngineError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    print(json.dumps({"url": url, "server": engine.pid}), flush=True)
    await over.wait()
    await engine.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
