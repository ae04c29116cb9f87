"""A network that can be slow, half open or cut: TCP proxies, all on one thread."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 65536
QUEUED = 64
"""Chunks that are on their way in one direction; past it the sender is not read."""

LIMIT = 10.0


class Network:
    """All proxies; `close` ends them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def proxy(self, host: str, port: int) -> Proxy:
        """A new way to `host:port`, on a free port of this machine."""
        proxy = Proxy(self, host, port)
        self.run(proxy.listen())
        self._proxies.append(proxy)
        return proxy

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the thread of the network, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LIMIT)

    def call(self, function: Callable[[], None]) -> None:
        """Call on the thread of the network, and wait until that is done."""

        async def called() -> None:
            function()

        self.run(called())

    def heal(self) -> None:
        """Every way is as it should be again."""
        for proxy in self._proxies:
            proxy.heal()

    def close(self) -> None:
        """Cut everything."""
        if self._loop.is_closed():
            return
        for proxy in self._proxies:
            self.run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()


class Proxy:
    """One way to a server. What is set holds for connections that are there and for new ones.

    `delay` is seconds, each way. While stalled, everything is taken in and nothing is passed on,
    an end neither: both sides believe that the other lives and says nothing.
    """

    def __init__(self, network: Network, host: str, port: int) -> None:
        self.target = (host, port)
        self.delay = 0.0
        self.port = 0
        self.moving = asyncio.Event()
        self.moving.set()
        self._network = network
        self._server: asyncio.Server | None = None
        self._pairs: set[Pair] = set()

    async def listen(self) -> None:
        """Begin; `port` is known then."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._server = await asyncio.start_server(self._accept, sock=listening)
        self.port = listening.getsockname()[1]

    def slow(self, seconds: float) -> None:
        """Everything takes so long, each way."""
        self.delay = seconds

    def stall(self) -> None:
        """Half open from now on."""
        self._network.call(self.moving.clear)

    def cut(self) -> None:
        """Reset every connection that is there."""
        self._network.call(self._reset)

    def heal(self) -> None:
        """No delay, no stall; what waited is passed on."""
        self.delay = 0.0
        self._network.call(self.moving.set)

    async def close(self) -> None:
        """Reset all, and listen no more."""
        assert self._server is not None
        self._server.close()
        self._reset()
        await asyncio.gather(*(pair.ended.wait() for pair in list(self._pairs)))

    def _reset(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = Pair(self, reader, writer)
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)


class Pair:
    """One connection through a proxy."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.ended = asyncio.Event()
        self._proxy = proxy
        self._near = (reader, writer)
        self._over = asyncio.Event()

    def reset(self) -> None:
        """Cut it."""
        self._over.set()

    async def run(self) -> None:
        """Pass on until both sides have ended, or it is cut."""
        tasks = [asyncio.create_task(self._carry()), asyncio.create_task(self._over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _reset(self._near[1])
            self.ended.set()

    async def _carry(self) -> None:
        await self._proxy.moving.wait()
        try:
            far = await asyncio.open_connection(*self._proxy.target)
        except OSError:
            return  # nobody listens there: this side is reset
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(self._near[0], far[1]))
                group.create_task(self._pass_on(far[0], self._near[1]))
        finally:
            _reset(far[1])

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)
        taking = asyncio.create_task(self._take(reader, queue))
        try:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._proxy.moving.wait()
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            self._over.set()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                # Vanished rather than ended; half open, the other side must not hear of it.
                await self._proxy.moving.wait()
                self._over.set()
                return
            await queue.put((time.monotonic() + self._proxy.delay, data))


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        # The other side is told that it was reset, not that it was closed.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
