"""Workers: load in separate processes, which share no interpreter with what is measured.

A worker is a module run as a process. Its spec is the first line on its standard input; after
that the run sends it single words, and it answers with Structs, as lines of JSON. A worker ends
when its run is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

import msgspec
from msgspec import Struct

from bench.errors import BenchError
from bench.rig.cores import pin
from bench.rig.processes import Program, python, spawn
from hub.net.open_files import raise_open_file_limit

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound=Struct)

MAX_LINE = 2**28  # bytes of one message


class Done(Struct, frozen=True):
    """The answer to a word that only has to be obeyed."""


class Failed(Struct, tag="failed", frozen=True):
    """The worker ends because of this."""

    why: str


class Worker(Program):
    """A worker as its run sees it, pinned to `cores` if there are any."""

    def __init__(self, module: str, spec: Struct, cores: Iterable[int] = ()) -> None:
        self._module = module
        self._spec = spec
        self._cores = cores

    async def start(self) -> None:
        """Start it, and give it its spec."""
        self._process = await spawn(python(self._module), stdin=PIPE, stdout=PIPE, limit=MAX_LINE)
        pin(self.pid, self._cores)
        await self._write(msgspec.json.encode(self._spec))

    async def stop(self) -> None:
        """Kill it: it has nothing to tidy away."""
        if self._process is not None:
            await self.kill()

    async def receive(self, kind: type[T], seconds: float = 120.0) -> T:
        """Its next answer; raises BenchError when it died, or does not answer for `seconds`."""
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
            raise BenchError(msgspec.json.decode(line, type=Failed).why) from None

    async def request(self, word: str, kind: type[T], seconds: float = 120.0) -> T:
        """Send it a word, and wait for the answer."""
        await self._write(word.encode())
        return await self.receive(kind, seconds)

    async def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise BenchError(f"{self._module} ended unexpectedly") from None


async def start_all(
    stack: AsyncExitStack, module: str, specs: Iterable[Struct], cores: Iterable[int] = ()
) -> list[Worker]:
    """Start a worker for each spec; `stack` ends them."""
    workers = [Worker(module, spec, cores) for spec in specs]
    for worker in workers:
        await stack.enter_async_context(worker)
    return workers


async def request_all(
    workers: Iterable[Worker], word: str, kind: type[T], seconds: float = 120.0
) -> list[T]:
    """Send all of them a word at the same time, and wait for their answers."""
    return await asyncio.gather(*(each.request(word, kind, seconds) for each in workers))


class Run:
    """The run as its worker sees it."""

    def __init__(self, words: asyncio.StreamReader) -> None:
        self._words = words

    async def receive(self, *expected: str) -> str:
        """The next word of the run, one of those expected; EOFError when the run is gone."""
        line = await self._words.readline()
        if not line:
            raise EOFError
        word = line.decode().strip()
        assert word in expected, f"received {word!r}, expected one of {expected}"
        return word

    def answer(self, message: Struct) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
        sys.stdout.buffer.flush()

    async def serve(self, answers: Mapping[str, Callable[[], Awaitable[Struct] | Struct]]) -> None:
        """Answer each word with what its function returns; EOFError when the run is gone."""
        while True:
            answer = answers[await self.receive(*answers)]()
            self.answer(answer if isinstance(answer, Struct) else await answer)


def work(spec_type: type[S], main: Callable[[S, Run], Awaitable[None]]) -> None:
    """Be a worker: run `main` with the spec until it returns or the run is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("homeport.client").setLevel(logging.CRITICAL)
    gc.disable()  # with thousands of connections a collection takes long enough to be measured
    raise_open_file_limit()
    run_on_uvloop(_work(spec_type, main))


def run_on_uvloop(main: Coroutine[None, None, None]) -> None:
    """`asyncio.run` on uvloop, where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)
        return
    import uvloop  # noqa: PLC0415 - not on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


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
        run.answer(Failed(str(error)))
