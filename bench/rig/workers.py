"""Load in processes of its own, so that it does not share an interpreter with what it measures.

A worker is a module run as a process. Its spec is the first line on its standard input; after
that the run tells it single words, and it answers with Structs, as lines of JSON. A worker whose
run is gone, for whatever reason, ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from bench.errors import BenchError
from bench.rig.processes import Program, python, spawn
from hub.net.open_files import raise_open_file_limit

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound=Struct)

MAX_LINE = 2**28
"""Bytes of one message."""


class Trouble(Struct, tag="trouble", frozen=True):
    """The worker died of this."""

    words: str


class Worker(Program):
    """A worker as its run sees it."""

    def __init__(self, module: str, spec: Struct) -> None:
        self._module = module
        self._spec = spec

    async def start(self) -> None:
        """Start it, and give it its spec."""
        self._process = await spawn(python(self._module), stdin=PIPE, stdout=PIPE, limit=MAX_LINE)
        await self._write(msgspec.json.encode(self._spec))

    async def stop(self) -> None:
        """Kill it: it has nothing to tidy away."""
        if self._process is not None:
            await self.kill()

    async def tell(self, word: str) -> None:
        """Tell it to go on."""
        await self._write(word.encode())

    async def hear(self, kind: type[T], seconds: float = 120.0) -> T:
        """What it says next; raises BenchError when it died, or is silent for `seconds`."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"{self._module} said nothing for {seconds:g} s") from None
        if not line:
            raise BenchError(f"{self._module} ended unexpectedly")
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.ValidationError:
            trouble = msgspec.json.decode(line, type=Trouble)
            raise BenchError(trouble.words) from None

    async def request(self, word: str, kind: type[T], seconds: float = 120.0) -> T:
        """Tell it a word and hear the answer."""
        await self.tell(word)
        return await self.hear(kind, seconds)

    async def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise BenchError(f"{self._module} ended unexpectedly") from None


class Run:
    """The run as its worker sees it."""

    def __init__(self, words: asyncio.StreamReader) -> None:
        self._words = words

    async def word(self, *expected: str) -> str:
        """The next word of the run, one of those expected."""
        line = await self._words.readline()
        if not line:
            raise EOFError
        word = line.decode().strip()
        assert word in expected, f"told {word!r}, expected one of {expected}"
        return word

    def tell(self, message: Struct) -> None:
        """Say something to the run."""
        sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
        sys.stdout.buffer.flush()


def work(spec_type: type[S], main: Callable[[S, Run], Awaitable[None]]) -> None:
    """Be a worker: run `main` with the spec until it returns or the run is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("homeport.client").setLevel(logging.CRITICAL)
    gc.disable()  # with thousands of connections a collection takes long enough to be measured
    raise_open_file_limit()
    if sys.platform == "win32":
        asyncio.run(_work(spec_type, main))
        return
    import uvloop  # noqa: PLC0415 - not on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(spec_type, main))


async def _work(spec_type: type[S], main: Callable[[S, Run], Awaitable[None]]) -> None:
    words = asyncio.StreamReader(limit=MAX_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(words), sys.stdin
    )
    run = Run(words)
    try:
        await main(msgspec.json.decode(await words.readline(), type=spec_type), run)
    except EOFError:
        pass
    except BenchError as error:
        run.tell(Trouble(str(error)))
