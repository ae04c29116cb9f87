"""`python -m bench.baselines NAME [BYTES]`: one bare server, which prints its URL once it listens.

It answers each message with so many bytes, or is an echo.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence

from bench.baselines import serverprotocol, websockets_asyncio
from hub.limits import raise_open_file_limit

Announce = Callable[[str], None]
SERVERS: dict[str, Callable[[Announce, int], Coroutine[None, None, None]]] = {
    "websockets": websockets_asyncio.serve,
    "serverprotocol": serverprotocol.serve,
}


def main(arguments: Sequence[str]) -> int:
    """Serve until terminated; returns the exit status."""
    name, size = (*arguments, "", "0")[:2]
    if name not in SERVERS or not size.isdecimal():
        usage = f"usage: python -m bench.baselines {{{','.join(SERVERS)}}} [BYTES]"
        print(usage, file=sys.stderr)
        return 2
    raise_open_file_limit()
    serve = SERVERS[name](lambda url: print(url, flush=True), int(size))
    if sys.platform == "win32":
        asyncio.run(serve)
        return 0
    import uvloop  # noqa: PLC0415 - not on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
