"""AgentRegistration: the legacy registry's helper, for programs without asyncio.

It has the constructor, attributes and methods of the helper that it replaces, and uses the legacy
HTTP routes with the standard library's client, so it works with the legacy service, too. New are:

- a registration that failed is tried again by `start_heartbeat`;
- an agent that the hub no longer knows registers again by itself, under its id;
- a program that crashed has the same id when it starts again (`agent_client.kept_id`);
- an agent whose id was taken by a newer registration stops;
- the hub decides the next interval, and a heartbeat that failed is repeated sooner;
- SIGTERM unregisters the agent before it ends the process;
- a token, or user and password of the URL, is sent, and so is HOMEPORT_HEADERS;
- `orchestrator_url` may name several hubs of one cluster.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from agent_client.forks import OneProcess, belongs_elsewhere
from agent_client.json_values import json_value
from agent_client.kept_id import OwnId
from agent_client.leaving import LEAVING, Leaver
from agent_client.transport.backoff import Backoff
from agent_client.transport.credentials import Credentials, FilePath
from agent_client.transport.headers import Headers, check_authorization, user_headers
from agent_client.transport.http import NO_ANSWER, HttpAnswer
from agent_client.transport.http_hubs import HttpHubs
from agent_client.transport.tls import Tls
from agent_client.transport.urls import split_urls, without_secrets
from agent_client.validation import checked_id
from homeport_protocol.http import AGENT_NOT_FOUND, SESSION_TOKEN_HEADER
from homeport_protocol.namespaces import NAMESPACE_HEADER

logger = logging.getLogger("homeport.client")

_REGISTER_TIMEOUT = 10.0
"""Seconds that registering and unregistering may take."""

_HEARTBEAT_TIMEOUT = 5.0
"""Seconds that a heartbeat may take, and that stopping waits for a running one."""

_NOT_KNOWN = {404: AGENT_NOT_FOUND, 401: "session_token"}
"""How a hub answers, and the legacy service, that it does not know the agent or its registration.

The status and what the error begins with: a proxy may have reasons of its own for a 404.
"""

_FENCED = 409
"""Status of a heartbeat whose registration a newer one has replaced."""

_REFUSED = (400, 413)
"""Statuses of a hub that will not take this registration, however often it is sent."""


class AgentRegistration(OneProcess):
    """Registers an agent over HTTP and heartbeats from a thread. No method raises: all log.

    `agent_id` (a UUID) is what the agent is to be known by. Without it, the agent keeps the id of
    its first registration: it registers under it again when the hub no longer knew it, and when its
    program was started again after a crash. A second program of the same agent (hub, namespace,
    name, type, host and port), on the same machine at the same time, has an id of its own. Where
    the program cannot write to the user's state directory, or has a new file system with every
    start, as in a container, each start is another agent unless `agent_id` is given.

    The attribute `agent_id` is None until registered. `fenced` is true once a newer registration
    has taken the id: the heartbeats have stopped then. `heartbeat_interval` is in seconds.

    `orchestrator_url` may name several hubs, separated by commas. The first one is drawn at random
    and used until it does not answer within 3 s or answers 502, 503 or 504; then the next one is
    used.

    In a forked child, `register` makes this another agent, and the other methods do nothing before.

    `register` in the main thread has SIGTERM unregister the agent, within a second, before it ends
    the process as it would have; not where somebody else handles SIGTERM, nor with
    `leave_on_sigterm=False`.

    `token`, `token_file`, `ca_file`, `client_cert`, `client_key` and `headers` are as for
    `AgentClient`, and read at each request. A URL such as `http://agent:TOKEN@hub:8080` holds a
    token as well. The constructor raises BadRequest for a token or header that cannot be sent, for
    an `agent_id` that is no UUID, and for metadata that JSON cannot carry.
    """

    def __init__(  # noqa: PLR0917 - the order is that of the helper it replaces
        self,
        agent_name: str,
        agent_type: str,
        host: str,
        port: int,
        capabilities: list[str],
        orchestrator_url: str = "http://localhost:8080",
        version: str = "1.0.0",
        metadata: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        token_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
        headers: Mapping[str, str] | None = None,
        agent_id: str | None = None,
        leave_on_sigterm: bool = True,
    ) -> None:
        self.agent_name = agent_name
        self.agent_type = agent_type
        self.host = host
        self.port = port
        self.capabilities = capabilities
        self.orchestrator_url = orchestrator_url
        self.version = version
        self.metadata: dict[str, Any] = metadata or {}
        json_value(self.metadata, "metadata")

        self.agent_id: str | None = None
        self.fenced = False
        self.heartbeat_interval: float = 30
        self.heartbeat_thread: threading.Thread | None = None
        self.stop_heartbeat = threading.Event()
        # Held while the agent registers, so that unregistering cannot miss a registration.
        self._identity = threading.RLock()
        self._process = os.getpid()
        self._given_id = None if agent_id is None else checked_id(agent_id)
        self._own_id = OwnId()
        self._session_token: str | None = None
        self._worth_trying = False
        self._forgotten = False
        self._retry_after: float | None = None
        self._backoff = Backoff()
        self._hubs = HttpHubs()
        self._headers = user_headers(headers)
        self._token, self._token_file = token, token_file
        if token is not None or token_file is not None:
            check_authorization(self._headers, self._credentials().of(""))
        self._tls = Tls(ca_file, client_cert, client_key)
        self._leaver = Leaver(self._begin_to_leave) if leave_on_sigterm else None

    def __repr__(self) -> str:
        state = "fenced" if self.fenced else "registered" if self.agent_id else "not registered"
        return f"<AgentRegistration name={self.agent_name!r} agent_id={self.agent_id!r} {state}>"

    def register(self) -> bool:
        """Register this agent, and return whether that worked."""
        if self._process != os.getpid():
            self._begin_in_child()
        if self._leaver is not None:
            LEAVING.add(self._leaver)
        with self._identity:
            self._retry_after, self._worth_trying = None, False
            try:
                return self._register()
            except NO_ANSWER as error:
                self._worth_trying = True
                logger.error("Registration error: %s", error)
            except Exception as error:  # of what the program gave
                logger.error("Registration error: %s", error)
            return False

    def _register(self) -> bool:
        answer = self._post(
            "/agents/register",
            {
                "name": self.agent_name,
                "type": self.agent_type,
                "host": self.host,
                "port": self.port,
                "capabilities": self.capabilities,
                "version": self.version,
                "metadata": self.metadata,
                "agent_id": self._id(),
            },
            timeout=_REGISTER_TIMEOUT,
        )
        self._retry_after = answer.retry_after
        self._worth_trying = answer.error is None or answer.status not in _REFUSED
        lease = _lease_of(answer)
        if lease is None:
            logger.error("Registration failed: %s - %s", answer.status, answer.shown)
            return False
        self.agent_id, self._session_token = lease.agent_id, lease.session_token
        if not self._given_id:
            self._own_id.replace(lease.agent_id)  # the legacy service gives another one
        self.fenced = self._forgotten = False
        self._set_interval(lease.heartbeat_interval_seconds)
        logger.info("Agent registered successfully: %s", lease.agent_id)
        return True

    def start_heartbeat(self) -> None:
        """Start heartbeats from a daemon thread; the first one is sent at once.

        After a `register` that failed, unless the hub refused what it was sent, the thread goes on
        trying to register, first.
        """
        if self._is_elsewhere():
            return
        if not self.agent_id and not self._worth_trying:
            logger.error("Cannot start heartbeat - agent not registered")
            return
        thread = self.heartbeat_thread
        if thread is not None and thread.is_alive() and not self.stop_heartbeat.is_set():
            logger.info("Heartbeat already running")
            return
        self.stop_heartbeat.clear()
        self.heartbeat_thread = threading.Thread(
            target=self._heartbeat_loop, name="homeport-heartbeat", daemon=True
        )
        try:
            self.heartbeat_thread.start()
        except RuntimeError as error:
            logger.error("Heartbeat could not be started: %s", error)
        else:
            logger.info("Heartbeat started")

    def stop_heartbeat_loop(self) -> None:
        """Stop the heartbeats; waits up to 5 s for a running one."""
        if self._is_elsewhere():
            return
        self.stop_heartbeat.set()
        thread = self.heartbeat_thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout=_HEARTBEAT_TIMEOUT)
        logger.info("Heartbeat stopped")

    def unregister(self) -> None:
        """Stop the heartbeats and unregister this agent."""
        if (not self.agent_id and self.heartbeat_thread is None) or self._is_elsewhere():
            return
        try:
            self.stop_heartbeat_loop()
            with self._identity:
                if self.agent_id:
                    self._unregister(self.agent_id)
        except Exception as error:
            logger.error("Unregister error: %s", error)
        finally:
            if self._leaver is not None:
                LEAVING.discard(self._leaver)

    def _begin_to_leave(self) -> Future[None]:
        left: Future[None] = Future()

        def leave() -> None:
            self.unregister()
            left.set_result(None)

        threading.Thread(target=leave, name="homeport-leave", daemon=True).start()
        return left

    def _unregister(self, agent_id: str) -> None:
        status = self._post(
            f"/agents/{agent_id}/unregister",
            None,
            timeout=_REGISTER_TIMEOUT,
            session_token=self._session_token,
        ).status
        if status == 200:
            logger.info("Agent unregistered successfully: %s", agent_id)
        elif status == _FENCED:
            logger.info("A newer registration of agent %s stays", agent_id)
        else:
            logger.warning("Unregister failed: %s", status)

    def _is_elsewhere(self) -> bool:
        """Whether this is a forked child of the process whose agent this is."""
        if self._process == os.getpid():
            return False
        instead = "register here first, as another agent"
        logger.warning("%s", belongs_elsewhere("AgentRegistration", self._process, instead))
        return True

    def _begin_in_child(self) -> None:
        """A forked child is another program: it has no thread yet, and an id of its own."""
        self._process = os.getpid()
        self._identity, self.stop_heartbeat = threading.RLock(), threading.Event()
        self.agent_id = self.heartbeat_thread = self._session_token = None
        self._own_id = OwnId()
        self.fenced = self._forgotten = False

    # --- the thread ------------------------------------------------------------------------------

    def _heartbeat_loop(self) -> None:
        # A thread that was stopped during a request must not go on when a new one has started.
        while self._is_current():
            try:
                if self.agent_id and not self._forgotten:
                    wait = self._send_heartbeat(self.agent_id)
                else:
                    wait = self._register_again()
            except Exception as error:
                logger.error("Heartbeat error: %s", error)
                wait = self._sooner(None)
            self.stop_heartbeat.wait(wait)

    def _is_current(self) -> bool:
        current = self.heartbeat_thread is threading.current_thread()
        return current and not self.stop_heartbeat.is_set()

    def _register_again(self) -> float:
        """Returns the seconds until the next heartbeat, or the next attempt."""
        with self._identity:
            if not self._is_current():
                return 0.0
            if not self.register():
                return self._backoff.next(self._retry_after)
        self._backoff.reset()
        return self.heartbeat_interval

    def _send_heartbeat(self, agent_id: str) -> float:
        """Returns the seconds until the next one."""
        answer = self._post(
            f"/agents/{agent_id}/heartbeat",
            {"status": "healthy", "metadata": self.metadata},
            timeout=_HEARTBEAT_TIMEOUT,
            session_token=self._session_token,
        )
        status, error = answer.status, answer.error
        if status == 200:
            self._set_interval(
                msgspec.json.decode(answer.body, type=_HeartbeatAnswer).next_interval_seconds
            )
            self._backoff.reset()
            return self.heartbeat_interval
        if error is not None and error.startswith(_NOT_KNOWN.get(status, "\0")):
            logger.warning("Agent %s is not known any more, registering again", agent_id)
            self._forgotten = True
            return 0.0
        if error is not None and status == _FENCED:
            with self._identity:
                if self._is_current():
                    logger.error("A newer registration holds agent %s, heartbeats stop", agent_id)
                    self.fenced = True
                    self.stop_heartbeat.set()
            return 0.0
        logger.warning("Heartbeat failed: %s - %s", status, answer.shown)
        return self._sooner(answer.retry_after)

    def _sooner(self, retry_after: float | None) -> float:
        """Seconds until a heartbeat is repeated that failed: the lease may not last two."""
        wait = self._backoff.next(retry_after)
        return wait if retry_after else min(self.heartbeat_interval, wait)

    # --- requests --------------------------------------------------------------------------------

    def _id(self) -> str:
        """The id to register under."""
        if self._given_id:
            return self._given_id
        names = {name.lower(): value for name, value in self._headers.items()}
        return self._own_id.get(
            *map(without_secrets, sorted(split_urls(self.orchestrator_url))),
            names.get(NAMESPACE_HEADER.lower(), ""),
            *(self.agent_name, self.agent_type, self.host, self.port),
        )

    def _set_interval(self, interval: float | None) -> None:
        if interval is not None and interval > 0:
            self.heartbeat_interval = interval

    def _post(
        self,
        path: str,
        body: dict[str, Any] | None,
        *,
        timeout: float,
        session_token: str | None = None,
    ) -> HttpAnswer:
        data, headers = _encoded(body), Headers(self._headers)
        if session_token is not None:
            headers[SESSION_TOKEN_HEADER] = session_token
        return self._hubs.post(
            self.orchestrator_url,
            path,
            data,
            headers,
            credentials=self._credentials(),
            tls=self._tls,
            timeout=timeout,
        )

    def _credentials(self) -> Credentials:
        """Anew for each request, as the helper that this replaces read its environment."""
        return Credentials(self._token, self._token_file)


def _encoded(body: dict[str, Any] | None) -> bytes:
    if body is None:
        return b""
    return msgspec.json.encode({field: json_value(value, field) for field, value in body.items()})


class _RegisterAnswer(msgspec.Struct):
    agent_id: str
    heartbeat_interval_seconds: float | None = None
    session_token: str | None = None  # the legacy service gives none


def _lease_of(answer: HttpAnswer) -> _RegisterAnswer | None:
    """None when this is not a hub's answer to a registration."""
    if answer.status != 201:
        return None
    try:
        return msgspec.json.decode(answer.body, type=_RegisterAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _HeartbeatAnswer(msgspec.Struct):
    next_interval_seconds: float | None = None
