"""`python -m bench.baselines NAME`: one bare server, which prints its URL once it listens."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence

from bench.baselines import serverprotocol, websockets_asyncio
from hub.limits import raise_open_file_limit

SERVERS: dict[str, Callable[[Callable[[str], None]], Coroutine[None, None, None]]] = {
    "websockets": websockets_asyncio.serve,
    "serverprotocol": serverprotocol.serve,
}


def main(arguments: Sequence[str]) -> int:
    """Serve until terminated; returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in SERVERS:
        print(f"usage: python -m bench.baselines {{{','.join(SERVERS)}}}", file=sys.stderr)
        return 2
    raise_open_file_limit()
    serve = SERVERS[arguments[0]](lambda url: print(url, flush=True))
    if sys.platform == "win32":
        asyncio.run(serve)
        return 0
    import uvloop  # noqa: PLC0415 - not on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
