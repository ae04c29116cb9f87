"""Bringing what the program says to the hub: each report until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agent_client.errors import (
    BadRequest,
    CannotConnect,
    ConnectionLost,
    Fenced,
    HomeportError,
    Timeout,
    TooLarge,
    Unavailable,
)
from agent_client.session.heartbeats import SESSION_UNKNOWN
from agent_client.session.owed import update_of
from agent_client.session.reported_state import Report, ReportedState
from agent_client.session.session import Session
from homeport_protocol.answers import HeartbeatAck, Updated
from homeport_protocol.record import AgentChanges
from homeport_protocol.requests import Heartbeat, Update

A = TypeVar("A", HeartbeatAck, Updated)


class Delivery:
    """Sends reports in the session of an agent, each for up to `timeout` seconds."""

    def __init__(
        self,
        session: Session,
        state: ReportedState,
        *,
        timeout: float,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._session = session
        self._state = state
        self._timeout = timeout
        self._sleep = sleep
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The exchanges under way."""
        return set(self._tasks)

    async def report(self, changes: AgentChanges) -> HeartbeatAck:
        """Send a heartbeat with `changes`; raises as `AgentClient.report` does."""
        return await self._deliver(changes, _heartbeat_of, HeartbeatAck)

    async def update(self, changes: AgentChanges) -> Updated:
        """Send an update with `changes`; raises as `AgentClient.update` does."""
        return await self._deliver(changes, update_of, Updated)

    async def _deliver(
        self,
        changes: AgentChanges,
        request_of: Callable[[AgentChanges], Heartbeat | Update],
        expected: type[A],
    ) -> A:
        report = self._state.say(changes)
        # A separate task: a caller that is cancelled does not cancel what it reported.
        task = asyncio.create_task(self._exchange(report, request_of, expected))
        self._tasks.add(task)
        task.add_done_callback(self._delivered)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            final = self._session.final_error
            if final and task.cancelled() and not (caller and caller.cancelling()):
                raise final.with_traceback(None) from None  # closed meanwhile
            raise

    async def _exchange(
        self,
        report: Report,
        request_of: Callable[[AgentChanges], Heartbeat | Update],
        expected: type[A],
    ) -> A:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        maybe_done = False
        try:
            while True:
                channel = await self._session.channel(deadline - loop.time())
                words = self._state.of(report)
                try:
                    answer = await channel.request(request_of(words.changes), expected)
                except ConnectionLost:
                    self._state.doubt(words)
                    maybe_done = True
                    if loop.time() >= deadline:
                        raise
                except Unavailable as error:
                    # Whether it was made is found out by making it again.
                    wait = 1.0 if error.retry_after is None else error.retry_after
                    if error.outcome is None:
                        raise
                    self._state.doubt(words)
                    maybe_done = True
                    if loop.time() + wait >= deadline:
                        raise
                    await self._sleep(wait)
                except SESSION_UNKNOWN as error:
                    if channel.ended:
                        raise
                    lost = ConnectionLost(f"the session is not known any more: {error}")
                    channel.drop(lost)
                    if loop.time() >= deadline:
                        raise lost from None
                else:
                    self._state.acknowledge(words, report)
                    return answer
        except HomeportError as error:
            if maybe_done and error.retryable:
                error.outcome = "unknown"
            if _is_refusal(error):
                self._state.refuse(report)
            else:
                self._state.give_up(report)
            raise

    def _delivered(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have been cancelled: nobody else retrieves it


def _heartbeat_of(changes: AgentChanges) -> Heartbeat:
    fields = (field for field in Heartbeat.__struct_fields__ if field != "id")
    return Heartbeat(id=0, **{field: getattr(changes, field) for field in fields})


def _is_refusal(error: HomeportError) -> bool:
    """Whether what was said has not happened, or will not be accepted at any time."""
    if isinstance(error, BadRequest | TooLarge | Fenced):
        return True
    if isinstance(error, CannotConnect | ConnectionLost | Timeout):
        return not error.retryable  # the client is closed
    return error.outcome is None
