"""AgentRegistration: the legacy registry's helper, for programs without asyncio.

It has the constructor, attributes and methods of the helper that it replaces, and uses the legacy
HTTP routes with the standard library's client, so it works with the legacy service, too. New are:
an agent that the hub no longer knows registers again by itself, under a new id; one whose id was
taken by a newer registration stops; the hub decides the next interval; HOMEPORT_TOKEN and
HOMEPORT_HEADERS are sent when they are set; and `orchestrator_url` may name several hubs of one
cluster.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from agent_client.transport.endpoints import Endpoints
from agent_client.transport.headers import headers_to_hub, user_headers
from agent_client.transport.http import NO_ANSWER, HttpAnswer, post
from agent_client.transport.urls import split_urls, without_secrets
from homeport_protocol.http import SESSION_TOKEN_HEADER

logger = logging.getLogger("homeport.client")

_REGISTER_TIMEOUT = 10.0
"""Seconds that registering and unregistering may take."""

_HEARTBEAT_TIMEOUT = 5.0
"""Seconds that a heartbeat may take, and that stopping waits for a running one."""

_NOT_KNOWN = (401, 404)
"""Statuses of a heartbeat whose agent, or whose registration of it, the hub does not know."""

_FENCED = 409
"""Status of a heartbeat whose registration a newer one has replaced."""

_UNAVAILABLE = (502, 503, 504)
"""Statuses of a hub that cannot serve now, or of a proxy that cannot reach it."""


class AgentRegistration:
    """Registers an agent over HTTP and heartbeats from a thread. No method raises: all log.

    `agent_id` is None until registered, and a new one after the hub no longer knew the agent.
    `fenced` is true once a newer registration has taken the id: the heartbeats have stopped then.
    `heartbeat_interval` is in seconds. `orchestrator_url` may name several hubs, separated by
    commas. The first one is drawn at random and used until it does not answer within 3 s or
    answers 502, 503 or 504; then the next one is used. (When a hub registers the agent but its
    answer is lost, its entry is never renewed and expires.)

    `headers` go with each request, as those of `AgentClient` do; the constructor raises BadRequest
    for one that cannot be sent.
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
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.agent_name = agent_name
        self.agent_type = agent_type
        self.host = host
        self.port = port
        self.capabilities = capabilities
        self.orchestrator_url = orchestrator_url
        self.version = version
        self.metadata: dict[str, Any] = metadata or {}

        self.agent_id: str | None = None
        self.fenced = False
        self.heartbeat_interval: float = 30
        self.heartbeat_thread: threading.Thread | None = None
        self.stop_heartbeat = threading.Event()
        # Held while the id changes, so that unregistering cannot miss a new id.
        self._identity = threading.RLock()
        self._session_token: str | None = None
        self._endpoints = Endpoints([])
        self._headers = user_headers(headers)

    def register(self) -> bool:
        """Register this agent, and return whether that worked."""
        try:
            with self._identity:
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
                    },
                    timeout=_REGISTER_TIMEOUT,
                )
                if answer.status != 201:
                    logger.error("Registration failed: %s - %s", answer.status, answer.shown)
                    return False
                lease = msgspec.json.decode(answer.body, type=_RegisterAnswer)
                self.agent_id, self._session_token = lease.agent_id, lease.session_token
                self.fenced = False
                self._set_interval(lease.heartbeat_interval_seconds)
                logger.info("Agent registered successfully: %s", lease.agent_id)
                return True
        except Exception as error:
            logger.error("Registration error: %s", error)
            return False

    def start_heartbeat(self) -> None:
        """Start heartbeats from a daemon thread; the first one is sent at once."""
        if not self.agent_id:
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
        self.stop_heartbeat.set()
        thread = self.heartbeat_thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout=_HEARTBEAT_TIMEOUT)
        logger.info("Heartbeat stopped")

    def unregister(self) -> None:
        """Stop the heartbeats and unregister this agent."""
        if not self.agent_id:
            return
        try:
            self.stop_heartbeat_loop()
            with self._identity:
                status = self._post(
                    f"/agents/{self.agent_id}/unregister",
                    None,
                    timeout=_REGISTER_TIMEOUT,
                    session_token=self._session_token,
                ).status
                if status == 200:
                    logger.info("Agent unregistered successfully: %s", self.agent_id)
                elif status == _FENCED:
                    logger.info("A newer registration of agent %s stays", self.agent_id)
                else:
                    logger.warning("Unregister failed: %s", status)
        except Exception as error:
            logger.error("Unregister error: %s", error)

    def _heartbeat_loop(self) -> None:
        # A thread that was stopped during a request must not go on when a new one has started.
        while self._is_current():
            try:
                self._send_heartbeat()
            except Exception as error:
                logger.error("Heartbeat error: %s", error)
            self.stop_heartbeat.wait(self.heartbeat_interval)

    def _is_current(self) -> bool:
        current = self.heartbeat_thread is threading.current_thread()
        return current and not self.stop_heartbeat.is_set()

    def _send_heartbeat(self) -> None:
        agent_id = self.agent_id
        if not agent_id:
            return
        answer = self._post(
            f"/agents/{agent_id}/heartbeat",
            {"status": "healthy", "metadata": self.metadata},
            timeout=_HEARTBEAT_TIMEOUT,
            session_token=self._session_token,
        )
        status = answer.status
        if status == 200:
            self._set_interval(
                msgspec.json.decode(answer.body, type=_HeartbeatAnswer).next_interval_seconds
            )
        elif status in _NOT_KNOWN:
            logger.warning("Agent %s is not known any more, registering again", agent_id)
            with self._identity:
                if self._is_current():
                    self.register()
        elif status == _FENCED:
            with self._identity:
                if self._is_current():
                    logger.error("A newer registration holds agent %s, heartbeats stop", agent_id)
                    self.fenced = True
                    self.stop_heartbeat.set()
        else:
            logger.warning("Heartbeat failed: %s", status)

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
        """Return the answer of the first hub that gives one; the last hub's failure otherwise."""
        endpoints = self._current_endpoints()
        seconds = endpoints.attempt_timeout(timeout)
        data, headers = _encoded(body), headers_to_hub(self._headers)
        if session_token is not None:
            headers[SESSION_TOKEN_HEADER] = session_token
        *others, last = endpoints.in_turn()
        for base in others:
            try:
                answer = post(base + path, data, headers, seconds)
            except NO_ANSWER as error:
                logger.warning("No answer from %s: %s", without_secrets(base), error)
            else:
                if answer.status not in _UNAVAILABLE:
                    endpoints.prefer(base)
                    return answer
                logger.warning("%s answers %s", without_secrets(base), answer.status)
            endpoints.defer(base)
        return post(last + path, data, headers, seconds)

    def _current_endpoints(self) -> Endpoints:
        # The program may have changed the attribute.
        urls = list(dict.fromkeys(url.rstrip("/") for url in split_urls(self.orchestrator_url)))
        if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise ValueError("orchestrator_url must begin with http:// or https://")
        if set(urls) != set(self._endpoints.in_turn()):
            self._endpoints = Endpoints(urls)
        return self._endpoints


def _encoded(body: dict[str, Any] | None) -> bytes:
    return b"" if body is None else msgspec.json.encode(body)


class _RegisterAnswer(msgspec.Struct):
    agent_id: str
    heartbeat_interval_seconds: float | None = None
    session_token: str | None = None  # the legacy service gives none


class _HeartbeatAnswer(msgspec.Struct):
    next_interval_seconds: float | None = None
