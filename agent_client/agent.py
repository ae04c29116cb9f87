"""AgentClient: keeps an agent registered for as long as its program runs."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from agent_client.answers import HeartbeatAck, Updated, copied
from agent_client.errors import (
    ConnectionLost,
    Fenced,
    HomeportError,
)
from agent_client.forks import OneProcess, belongs_elsewhere
from agent_client.lease import Lease
from agent_client.leaving import LEAVE_TIMEOUT, LEAVING, Leaver
from agent_client.session.callbacks import Callback, CallbackTasks
from agent_client.session.delivery import Delivery
from agent_client.session.reported_state import ReportedState
from agent_client.session.session import Session
from agent_client.session.unregistering import unregister
from agent_client.session_loop import ProgramLoop, SessionLoop, ThreadLoop
from agent_client.transport.backoff import Backoff
from agent_client.transport.credentials import FilePath
from agent_client.transport.dialer import Dialer
from agent_client.transport.seams import current_seams
from agent_client.validation import changes_from, checked_id, spec_from
from homeport_protocol.bounds import Status

T = TypeVar("T")

_UNREGISTER_TIMEOUT = 3.0
"""Seconds for which closing waits for the hub's answer to `unregister`."""


class AgentClient(OneProcess):
    """Registers an agent and keeps it registered while the context is open.

        async with AgentClient("http://hub:8080", name="cost-1", type="cost") as agent:
            await agent.report(status="degraded", load=0.9)

    It sends heartbeats by itself. After a lost connection it resumes, at another hub if necessary,
    and registers anew under its id when the hubs no longer know it. What was reported is part of
    every later registration. Leaving the context unregisters. Once a newer session took over its
    id, every call raises `Fenced`, and once it was removed, by an operator or elsewhere,
    `AgentRemoved`.

    - `url`: one hub or several (http, https, ws, wss; a list, or a text with commas); None reads
      HOMEPORT_URL. A hub that refuses, goes away or falls silent is tried last.
    - `name`, `type`, `capabilities`, `version`, `metadata`, `status`, `load`: the agent's record.
    - `host`, `port`: where the agent itself listens, if it does.
    - `agent_id`: a UUID, drawn when None. A newer session of the same id takes this one's place.
    - `exclusive`: refuse to start, with `Conflict`, while another session of this id lives.
    - `namespace`: where it is. `token`: who it is; `token_file`: a file with the token, read at
      each connection. Without either, user and password of the URL, HOMEPORT_TOKEN or
      HOMEPORT_TOKEN_FILE, the first that is there.
    - `ca_file`: the certificates to trust for https, instead of the system's; `client_cert` and
      `client_key`: this client's. None reads HOMEPORT_CA_FILE, _CLIENT_CERT and _CLIENT_KEY.
    - `headers`: for a gateway before the hub; None reads HOMEPORT_HEADERS, `Name: value` one a
      line. They follow a redirect only to the same host and port.
    - `on_connected`, `on_disconnected`, `on_fenced`: functions or coroutine functions, which get
      the `Lease`, the error that ended a connection, and the `Fenced` with which this client
      stopped for good. Each runs in a task of its own; an exception in it is logged. Leaving on
      purpose calls none.
    - `connect_timeout`: seconds for which entering the context tries; None: without end.
    - `request_timeout`: seconds that one request may take.
    - `keepalive`: seconds of silence after which the hub is pinged; it is left three later.
    - `shuffle`: try several hubs in a random order, so that a fleet spreads over them.
    - `backoff`: how long to wait between attempts.
    - `heartbeat_in_thread`: run the session in a background thread, so that a program which blocks
      its event loop for longer than `heartbeat_timeout` is unhealthy (`heartbeat_overdue`) and not
      unreachable. Callbacks run on the program's loop all the same.
    - `leave_on_sigterm`: unregister, within a second, when SIGTERM ends the process; for clients
      that were entered in the main thread, while nobody else handles SIGTERM.

    Raises BadRequest, TooLarge or BadURL for arguments that no hub could accept.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        name: str,
        type: str,
        capabilities: Collection[str] = (),
        version: str = "",
        host: str | None = None,
        port: int = 0,
        metadata: Mapping[str, Any] | None = None,
        status: Status = "healthy",
        load: float | None = None,
        agent_id: str | None = None,
        exclusive: bool = False,
        namespace: str | None = None,
        token: str | None = None,
        token_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
        headers: Mapping[str, str] | None = None,
        on_connected: Callback[Lease] | None = None,
        on_disconnected: Callback[HomeportError] | None = None,
        on_fenced: Callback[Fenced] | None = None,
        connect_timeout: float | None = 30.0,
        request_timeout: float = 10.0,
        keepalive: float = 5.0,
        shuffle: bool = True,
        backoff: Backoff | None = None,
        heartbeat_in_thread: bool = False,
        leave_on_sigterm: bool = True,
    ) -> None:
        spec = spec_from(
            name=name,
            type=type,
            capabilities=capabilities,
            version=version,
            host=host or None,
            port=port,
            metadata=metadata,
            status=status,
            load=load,
        )
        self._name = spec.name
        self._id_was_given = agent_id is not None
        self._process = os.getpid()
        self._state = ReportedState(spec)
        self._connect_timeout = connect_timeout
        self._request_timeout = request_timeout
        self._sleep = current_seams().sleep
        self._callbacks = CallbackTasks()
        self._leave_on_sigterm = leave_on_sigterm
        self._leaver = Leaver(self._begin_to_leave)
        self._heartbeat_in_thread = heartbeat_in_thread
        self._loop: SessionLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._session = Session(
            Dialer(
                url,
                namespace=namespace,
                token=token,
                token_file=token_file,
                ca_file=ca_file,
                client_cert=client_cert,
                client_key=client_key,
                headers=headers,
                shuffle=shuffle,
            ),
            self._state,
            str(uuid.uuid4()) if agent_id is None else checked_id(agent_id),
            exclusive=exclusive,
            backoff=(backoff or Backoff()).again(),
            sleep=self._sleep,
            timeout=request_timeout,
            keepalive=keepalive,
            on_connected=lambda lease: self._call(on_connected, lease),
            on_disconnected=lambda error: self._call(on_disconnected, error),
            on_fenced=lambda error: self._call(on_fenced, error),
            program_turned=lambda seconds: self._started().program_turned(seconds),
        )
        self._delivery = Delivery(
            self._session, self._state, timeout=request_timeout, sleep=self._sleep
        )

    def __repr__(self) -> str:
        return (
            f"<AgentClient name={self._name!r} agent_id={self._session.agent_id!r} "
            f"status={self._state.current().status!r} connected={self.connected}>"
        )

    @property
    def agent_id(self) -> str:
        """The agent's id, the same in every registration.

        An id that nobody gave is replaced when a forked process starts a client that was made
        before the fork: several workers may start copies of it.
        """
        return self._session.agent_id

    @property
    def epoch(self) -> int:
        """The epoch of the newest session, its fencing token; 0 before the first."""
        return self._session.lease.epoch if self._session.lease else 0

    @property
    def lease(self) -> Lease | None:
        """The terms of the newest session; None before the first."""
        return self._session.lease

    @property
    def connected(self) -> bool:
        """Whether the agent has a session on an open connection now."""
        return self._session.current is not None and self._process == os.getpid()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Register, as entering the context does. A client can be started only once.

        Raises a refusal that is not retryable at once (BadRequest, Unauthorized, Forbidden, ...),
        and CannotConnect after `connect_timeout` for any other failure: also for the `conflict` of
        programs that take one `agent_id` from each other, where the one that holds it stays.
        """
        if self._loop is not None:
            self._check_process()
            raise RuntimeError("an AgentClient can be started only once")
        if self._leaving is not None:
            raise ConnectionLost("the client is closed", retryable=False)
        if self._process != os.getpid():  # made before a fork, perhaps of several workers
            self._process = os.getpid()
            if not self._id_was_given:
                self._session.agent_id = str(uuid.uuid4())
        program = asyncio.get_running_loop()
        if self._heartbeat_in_thread:
            self._loop = ThreadLoop(program, abandoned=self._leave_once)
        else:
            self._loop = ProgramLoop(program)
        if self._leave_on_sigterm:
            LEAVING.add(self._leaver)
        try:
            await self._loop.run(self._begin())
        except BaseException:
            await self.close()
            raise

    async def _begin(self) -> None:
        self._running = asyncio.create_task(self._session.run(), name="homeport-session")
        await self._session.channel(self._connect_timeout)

    async def close(self) -> None:
        """Unregister if connected, and end all tasks, as leaving the context does.

        Returns at once when no hub can be reached: the agent's lease then runs out.
        """
        if self._process != os.getpid():
            return
        leaving = self._leave_once()
        await (leaving if self._loop is None else self._loop.run(leaving))
        LEAVING.discard(self._leaver)
        await self._callbacks.finish()

    def _begin_to_leave(self) -> Future[None]:
        return self._started().submit(self._leave_once(quietly=True))

    async def _leave_once(self, *, quietly: bool = False) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(quietly), name="homeport-leave")
        await asyncio.shield(self._leaving)

    async def _leave(self, quietly: bool) -> None:
        """Quietly, nobody is told: a program that is about to end has no use for errors."""
        tasks = {self._running} if self._running else set[asyncio.Task[Any]]()
        if not quietly:
            self._session.end(ConnectionLost("the client is closed", retryable=False))
            tasks |= self._delivery.tasks
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        channel = self._session.current
        if channel is not None:
            limit = LEAVE_TIMEOUT if LEAVING.begun else _UNREGISTER_TIMEOUT
            seconds = min(limit, self._request_timeout)
            await unregister(channel, self._session.agent_id, seconds=seconds, sleep=self._sleep)

    async def wait_connected(self) -> None:
        """Wait until the agent has a session on an open connection.

        Raises Fenced when a newer session took over, AgentRemoved when the agent was removed, and
        ConnectionLost when the client is closed.
        """
        await self._started().run(self._session.channel(None))

    async def wait_ended(self) -> None:
        """Wait until this client has stopped for good, and raise the reason.

        Fenced when a newer session took over; AgentRemoved when the agent was removed;
        ConnectionLost when the client was closed.
        """
        await self._started().run(self._ended())
        raise self._final_error()

    async def report(
        self,
        *,
        status: Status | None = None,
        metadata: Mapping[str, Any] | None = None,
        load: float | None = None,
    ) -> HeartbeatAck:
        """Send a heartbeat now and return its acknowledgement.

        Arguments that are None leave their fields unchanged. `metadata` is merged key by key; a
        value of None deletes its key. While disconnected this waits for up to `request_timeout`.
        After ConnectionLost, CannotConnect or Timeout, and any error whose `outcome` is "unknown",
        the report is owed: it goes out by itself at the next chance, without undoing what was
        reported since. Any other error is the hub's refusal, and discards it: it has not happened.
        """
        changes = changes_from(status=status, metadata=metadata, load=load)
        return copied(HeartbeatAck, await self._open().run(self._delivery.report(changes)))

    async def update(
        self,
        *,
        capabilities: Collection[str] | None = None,
        version: str | None = None,
        host: str | None = None,
        port: int | None = None,
        status: Status | None = None,
        metadata: Mapping[str, Any] | None = None,
        load: float | None = None,
    ) -> Updated:
        """Change the agent's record; the answer says from which revision on this is visible.

        Waits, remembers and raises as `report` does; Unavailable while the hub cannot write. An
        update whose outcome is unknown is sent again, for up to `request_timeout`.
        """
        changes = changes_from(
            capabilities=capabilities,
            version=version,
            host=host,
            port=port,
            status=status,
            metadata=metadata,
            load=load,
        )
        return copied(Updated, await self._open().run(self._delivery.update(changes)))

    def _open(self) -> SessionLoop:
        loop = self._started()
        if self._session.final_error is not None:
            raise self._final_error()
        return loop

    async def _ended(self) -> None:
        assert self._running is not None  # `start` comes first
        await asyncio.wait({self._running})

    def _started(self) -> SessionLoop:
        if self._loop is None:
            raise RuntimeError("the AgentClient has not been started")
        self._check_process()
        return self._loop

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise belongs_elsewhere("AgentClient", self._process)

    def _call(self, callback: Callback[T] | None, argument: T) -> None:
        self._started().call(self._callbacks.call, callback, argument)

    def _final_error(self) -> HomeportError:
        error = self._session.final_error
        assert error is not None  # a session stops only by `end`, which sets it
        return error.with_traceback(None)
