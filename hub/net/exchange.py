"""A request body and a response in one piece each, where ASGI uses several.

ASGI delivers a body in parts, so a handler has to await even a body that came with the head. It
sends a response in two parts, and uvicorn writes them separately: each write costs as much as a
whole handler. An application finds the exchange in `scope["extensions"]` under `EXCHANGE` and may
use it instead of `receive` and `send`.
"""

from __future__ import annotations

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

EXCHANGE = "homeport.exchange"


class Exchange:
    """One request of an HTTP connection."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def whole_body(self) -> bytes | None:
        """The body, if all of it has arrived and none of it was received before; else None."""
        cycle = self._cycle
        return None if cycle.more_body else bytes(cycle.body)

    @property
    def caller_gone(self) -> bool:
        """Whether the caller has closed the connection, so that it gets no response."""
        return self._cycle.disconnected or self._cycle.transport.is_closing()

    async def answer(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: Sequence[bytes]
    ) -> None:
        """Send a whole response; `headers` include its length, and `body` is written unchanged.

        Waits until the caller has read most of the earlier responses. Does nothing when the caller
        has gone.
        """
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if self.caller_gone:
            cycle.disconnected = True  # of several pipelined requests uvicorn marks only the last
            return
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        # The rest is what the cycle itself does at the end of a response.
        cycle.response_started = cycle.response_complete = True
        cycle.transport.writelines([b"".join(head), *body])
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
