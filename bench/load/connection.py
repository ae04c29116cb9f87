"""Websockets of a crowd: peers that keep what they hear, and connections that only count it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from bench.errors import BenchError
from bench.load.talk import Talk
from bench.peers.frames import TEXT, masked_text, payload_span
from bench.peers.raw_websocket import RawWebsocket

TIMEOUT = 60.0


class Peer(RawWebsocket):
    """A websocket that keeps the messages that it hears until they are taken.

    `on_message` is called after each of them.
    """

    __slots__ = ("_awaited", "_heard", "_is_last", "on_message")

    def __init__(self, on_message: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.on_message = on_message
        self._heard: list[bytes] = []
        self._awaited: asyncio.Future[None] | None = None
        self._is_last: Callable[[bytes], bool] | None = None

    async def ask(
        self, payload: bytes, is_last: Callable[[bytes], bool] | None = None
    ) -> list[bytes]:
        """Send a message, and take the answers: up to the one that `is_last`, or else one."""
        self._is_last = is_last
        self._awaited = asyncio.get_running_loop().create_future()
        self.transport.write(masked_text(payload))
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._awaited
        except TimeoutError:
            raise BenchError(f"no answer within {TIMEOUT:g} s to {payload[:100]!r}") from None
        finally:
            self._awaited = None
        return self.take()

    def take(self) -> list[bytes]:
        """The messages heard since the last time."""
        heard, self._heard = self._heard, []
        return heard

    def text_received(self, payload: bytes) -> None:
        self._heard.append(payload)
        if self._awaited is not None:
            if not self._awaited.done() and (self._is_last is None or self._is_last(payload)):
                self._awaited.set_result(None)
        elif self.on_message is not None:
            self.on_message()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(BenchError(self.end_reason))


class Script:
    """A talk as bytes: `frames` are all requests twice over, so that a run of them is one slice."""

    def __init__(self, talk: Talk) -> None:
        frames = [masked_text(each.encode()) for each in talk.requests]
        assert len({len(frame) for frame in frames}) == 1, "requests differ in length"
        self.count = len(frames)
        self.size = len(frames[0])
        self.frames = b"".join(frames * 2)
        self.answers = [each.encode() for each in talk.answers]
        self.holds = talk.holds.encode()


class Connection(Peer):
    """A websocket that keeps requests outstanding: each answer is followed by the next request.

    `asked` and `answered` count; `wrong` of the answers were not what they must be, the first of
    which is `example`. `running` False asks no more. With a `line` of connections that have
    nothing outstanding, an answer is followed by a request of the connection that has waited
    longest, and this one waits.
    """

    __slots__ = (
        "_next_answer",
        "_next_request",
        "_script",
        "answered",
        "asked",
        "example",
        "line",
        "running",
        "wrong",
    )

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script
        self._next_request = 0
        self._next_answer = 0
        self.asked = 0
        self.answered = 0
        self.wrong = 0
        self.example = b""
        self.line: deque[Connection] | None = None
        self.running = False

    def send(self, count: int) -> None:
        """Send the next requests in one write."""
        script, first = self._script, self._next_request
        self._next_request = (first + count) % script.count
        self.asked += count
        size = script.size
        self.transport.write(script.frames[first * size : (first + count) * size])

    def refill(self, count: int) -> None:
        """Follow this many answers, which came at once, with as many requests."""
        if self.line is None:
            if self.running:
                self.send(count)
            return
        self.line.append(self)
        if self.running:
            self.line.popleft().send(count)

    def read(self, data: bytes) -> int:
        """The loop of RawWebsocket, written out: the load spends its time here."""
        if self._awaited is not None:
            return super().read(data)
        start, size, count = 0, len(data), 0
        script, number = self._script, self._next_answer
        answers, holds = script.answers, script.holds
        while start + 2 <= size:
            body, length = start + 2, data[start + 1]
            if length < 126:
                end = body + length
            else:
                body, end = payload_span(data, start)
            if end > size:
                break
            if data[start] != TEXT:
                self.control(data[start], data[body:end])
            else:
                if not data.startswith(answers[number], body) or data.rfind(holds, body, end) < 0:
                    self.wrong += 1
                    self.example = self.example or data[body:end]
                number = number + 1 if number + 1 < script.count else 0
                count += 1
            start = end
        if count:
            self._next_answer = number
            self.answered += count
            self.refill(count)
        return start


class Timed(Connection):
    """A connection that also notes how long each answer took, in seconds.

    From the write of a request until its answer was read by this process, which others of its
    connections may have kept busy meanwhile.
    """

    __slots__ = ("_asked_at", "latencies")

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._asked_at: deque[float] = deque()
        self.latencies: list[float] = []

    def send(self, count: int) -> None:
        self._asked_at.extend([time.perf_counter()] * count)
        super().send(count)

    def refill(self, count: int) -> None:
        now = time.perf_counter()
        self.latencies += [now - self._asked_at.popleft() for _ in range(count)]
        super().refill(count)
