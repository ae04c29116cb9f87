"""AgentRegistration: the legacy registry's helper, for programs without asyncio.

It has the constructor, attributes and methods of the helper it replaces, speaks the legacy HTTP
routes, and needs nothing beyond the standard library to do so. It works with the legacy service,
too. New here: an agent that the hub forgot registers again by itself (under a new id), the hub's
word on the next interval is followed, HOMEPORT_TOKEN is presented when it is set, and
`orchestrator_url` may name several hubs of one cluster.
"""

from __future__ import annotations

import logging
import os
import threading
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

import msgspec

from agent_client.transport.dialer import bearer
from agent_client.transport.endpoints import Endpoints
from agent_client.transport.urls import is_loopback, split_urls, without_secrets

logger = logging.getLogger(__name__)

_LONG = 10.0
_SHORT = 5.0
"""Seconds that a heartbeat may take, and that stopping waits for one under way."""

_LARGEST_ANSWER = 1 << 20

_AWAY = (502, 503, 504)
"""Statuses of a hub that cannot serve now, or of a proxy that does not reach it."""


class AgentRegistration:
    """Registers an agent over HTTP and heartbeats from a thread. No method raises: all log.

    `agent_id` is None until registered; after the hub forgot the agent it is a new one.
    `heartbeat_interval` is in seconds. Of several hubs in `orchestrator_url`, separated by commas,
    the first to be asked is drawn by chance; it is asked until it does not answer in 3 s, or
    answers 502, 503 or 504: then the next one is. (A hub that registered the agent but whose
    answer got lost keeps an entry that nobody renews, and that runs out.)
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
        self.heartbeat_interval: float = 30
        self.heartbeat_thread: threading.Thread | None = None
        self.stop_heartbeat = threading.Event()
        # Held while the id changes, so that unregistering cannot miss a new one.
        self._identity = threading.RLock()
        self._endpoints = Endpoints([])

    def register(self) -> bool:
        """Register this agent; returns whether that worked."""
        try:
            with self._identity:
                status, body = self._post(
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
                    timeout=_LONG,
                )
                if status != 201:
                    logger.error("Registration failed: %s - %s", status, _shown(body))
                    return False
                answer = msgspec.json.decode(body, type=_Registered)
                self.agent_id = answer.agent_id
                self._follow(answer.heartbeat_interval_seconds)
                logger.info("Agent registered successfully: %s", answer.agent_id)
                return True
        except Exception as error:
            logger.error("Registration error: %s", error)
            return False

    def start_heartbeat(self) -> None:
        """Begin to heartbeat from a daemon thread; the first one is sent at once."""
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
        """Stop heartbeating; waits up to 5 s for a heartbeat under way."""
        self.stop_heartbeat.set()
        thread = self.heartbeat_thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout=_SHORT)
        logger.info("Heartbeat stopped")

    def unregister(self) -> None:
        """Stop heartbeating and unregister this agent."""
        if not self.agent_id:
            return
        try:
            self.stop_heartbeat_loop()
            with self._identity:
                status, _ = self._post(f"/agents/{self.agent_id}/unregister", None, timeout=_LONG)
                if status == 200:
                    logger.info("Agent unregistered successfully: %s", self.agent_id)
                else:
                    logger.warning("Unregister failed: %s", status)
        except Exception as error:
            logger.error("Unregister error: %s", error)

    def _heartbeat_loop(self) -> None:
        # A thread that was stopped while a request held it up must not revive with the next one.
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
        status, body = self._post(
            f"/agents/{agent_id}/heartbeat",
            {"status": "healthy", "metadata": self.metadata},
            timeout=_SHORT,
        )
        if status == 200:
            self._follow(msgspec.json.decode(body, type=_Heard).next_interval_seconds)
        elif status == 404:
            logger.warning("Agent %s is not known any more, registering again", agent_id)
            with self._identity:
                if self._is_current():
                    self.register()
        else:
            logger.warning("Heartbeat failed: %s", status)

    def _follow(self, interval: float | None) -> None:
        if interval is not None and interval > 0:
            self.heartbeat_interval = interval

    def _post(self, path: str, body: dict[str, Any] | None, *, timeout: float) -> tuple[int, bytes]:
        """The answer of the first hub that gives one; raises or returns the last one's failure."""
        endpoints = self._current_endpoints()
        seconds = endpoints.patience(timeout)
        *others, last = endpoints.in_turn()
        for base in others:
            try:
                status, answer = _post_to(base + path, body, seconds)
            except (OSError, HTTPException) as error:
                logger.warning("No answer from %s: %s", without_secrets(base), error)
            else:
                if status not in _AWAY:
                    endpoints.prefer(base)
                    return status, answer
                logger.warning("%s answers %s", without_secrets(base), status)
            endpoints.defer(base)
        return _post_to(last + path, body, seconds)

    def _current_endpoints(self) -> Endpoints:
        # The attribute is the program's: what it says now counts.
        urls = list(dict.fromkeys(url.rstrip("/") for url in split_urls(self.orchestrator_url)))
        if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise ValueError("orchestrator_url must begin with http:// or https://")
        if set(urls) != set(self._endpoints.in_turn()):
            self._endpoints = Endpoints(urls)
        return self._endpoints


def _post_to(url: str, body: dict[str, Any] | None, timeout: float) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    token = os.environ.get("HOMEPORT_TOKEN")
    if token:
        headers["Authorization"] = bearer(token)
    data = b"" if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(  # noqa: S310 - the caller has checked the scheme
        url, data=data, headers=headers, method="POST"
    )
    proxies = [urllib.request.ProxyHandler({})] if is_loopback(url) else []
    opener = urllib.request.build_opener(*proxies)
    try:
        with opener.open(request, timeout=timeout) as response:
            return response.status, response.read(_LARGEST_ANSWER)
    except HTTPError as error:
        with error:
            return error.code, error.read(_LARGEST_ANSWER)


class _Registered(msgspec.Struct):
    agent_id: str
    heartbeat_interval_seconds: float | None = None


class _Heard(msgspec.Struct):
    next_interval_seconds: float | None = None


def _shown(body: bytes) -> str:
    return body[:500].decode(errors="replace")
