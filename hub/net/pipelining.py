"""HTTP requests that come at once: each is read when the one before has been answered.

A caller may send thousands of requests in one segment. uvicorn parses all of them at once, which
takes it a tenth of a millisecond each, and keeps some kilobytes for each until it is answered.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from hub.net.http_protocol import HttpProtocol
from hub.net.intake import PIECE, Backlog, Intake
from hub.telemetry import logs

_HEAD_END = re.compile(rb"\n\r?\n")

AT_ONCE = 2
"""Pieces of one read that are parsed at once: mostly a head and a body."""

logger = logs.get("hub.http")


class PipelinedHttp(HttpProtocol):
    """One HTTP connection that parses a request when its turn has come.

    A piece of what was read ends with a head at the latest. Behind the first AT_ONCE pieces the
    rest waits in the `intake`, and reading is paused meanwhile.
    """

    def __init__(self, intake: Intake, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._intake = intake
        self._backlog: Backlog | None = None
        self._has_turn = False
        """Whether it waits for its turn, and not for an answer."""

    def data_received(self, data: bytes) -> None:
        """Take part of a request, or several requests."""
        if self._backlog is not None:  # a handler that waits for its body has resumed reading
            data = self._backlog.rest() + data
            self._drop_backlog()
            self._wait(data)
            return
        for _ in range(AT_ONCE):
            data = data[self._take(data) :]
            if not data or self._done_with(data):
                return
        self._wait(data)

    def read_on(self) -> bool:
        """Parse a piece of the backlog, once earlier requests have been answered."""
        backlog, older = self._backlog, self._unanswered()
        if backlog is None or (older is not None and not older.more_body):
            self._has_turn = False
            return False
        self.flow.resume_reading()
        try:
            more = backlog.took(self._take(backlog.piece()))
            if more and not self._done_with(backlog.rest()):
                self.flow.pause_reading()
                return True
        except Exception:
            logger.exception("connection failed")
            self.transport.abort()
        self._has_turn = False
        self._drop_backlog()
        return False

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self._backlog is not None and not self.transport.is_closing():
            self.flow.pause_reading()
            self._want_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; so are requests that have not begun."""
        self._drop_backlog()
        super().connection_lost(exc)

    def _take(self, data: bytes) -> int:
        """Parse up to the end of the next head, or PIECE; returns how many bytes that is."""
        end = _HEAD_END.search(data, 0, PIECE)
        piece = data[: PIECE if end is None else end.end()]
        super().data_received(piece)
        return len(piece)

    def _done_with(self, rest: bytes) -> bool:
        """Whether the rest is not for this protocol: dropped, or the new websocket's."""
        if self._refused or self.transport.is_closing():
            return True
        protocol = cast(asyncio.Protocol, self.transport.get_protocol())
        if protocol is self:
            return False
        protocol.data_received(rest)
        return True

    def _wait(self, rest: bytes) -> None:
        self._backlog = self._intake.hold(rest)
        if self._backlog is None:
            self.transport.abort()
            return
        self.flow.pause_reading()
        self._want_turn()

    def _want_turn(self) -> None:
        if not self._has_turn:
            self._has_turn = True
            self._intake.add(self)

    def _drop_backlog(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self._intake.drop(backlog)
