"""`python -m bench.baselines NAME [BYTES]`: a bare server, which prints its URL once it listens.

It answers each message with so many bytes, or is an echo.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import NamedTuple

from bench.baselines import serverprotocol, uvicorn_upgrades, websockets_asyncio
from bench.rig.workers import run_on_uvloop
from hub.net.open_files import raise_open_file_limit

Announce = Callable[[str], None]


class Bare(NamedTuple):
    """How it serves, and whether on uvloop rather than on asyncio's own loop."""

    serve: Callable[[Announce, int], Coroutine[None, None, None]]
    uvloop: bool


SERVERS = {
    "websockets": Bare(websockets_asyncio.serve, uvloop=False),
    "websockets-uvloop": Bare(websockets_asyncio.serve, uvloop=True),
    "serverprotocol": Bare(serverprotocol.serve, uvloop=True),
    "uvicorn-upgrades": Bare(uvicorn_upgrades.serve, uvloop=True),
}


def main(arguments: Sequence[str]) -> int:
    """Serve until terminated; returns the exit status."""
    name, size = (*arguments, "", "0")[:2]
    if name not in SERVERS or not size.isdecimal():
        usage = f"usage: python -m bench.baselines {{{','.join(SERVERS)}}} [BYTES]"
        print(usage, file=sys.stderr)
        return 2
    raise_open_file_limit()
    server = SERVERS[name]
    serving = server.serve(lambda url: print(url, flush=True), int(size))
    (run_on_uvloop if server.uvloop else asyncio.run)(serving)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
