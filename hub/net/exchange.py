"""A request and its answer as wholes, which ASGI takes in parts.

ASGI brings a body in parts, which a handler has to wait for although it mostly came with the head,
and takes an answer in two, which uvicorn writes one by one: each write costs as much as all of the
handler. An application finds the exchange in `scope["extensions"]` under `EXCHANGE`, and may use
it instead of `receive` and `send`.
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
        """The body, if all of it has come and nothing of it was received; else None."""
        cycle = self._cycle
        return None if cycle.more_body else bytes(cycle.body)

    @property
    def caller_gone(self) -> bool:
        """Whether the caller has hung up, and will hear no answer."""
        return self._cycle.disconnected or self._cycle.transport.is_closing()

    async def answer(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: Sequence[bytes]
    ) -> None:
        """Send a whole answer, whose `headers` give its length; `body` is written as it is.

        Waits until the caller has read most of the answers before. Nothing happens when the caller
        has gone.
        """
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if self.caller_gone:
            cycle.disconnected = True  # of several requests in a row, uvicorn tells the last one
            return
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        # What follows is what the cycle does itself at the end of an answer.
        cycle.response_started = cycle.response_complete = True
        cycle.transport.writelines([b"".join(head), *body])
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
