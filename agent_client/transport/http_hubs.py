"""One POST to the first of several hubs that answers, for programs without asyncio."""

from __future__ import annotations

import logging

from agent_client.transport.credentials import Credentials
from agent_client.transport.endpoints import Endpoints
from agent_client.transport.headers import Headers, with_authorization
from agent_client.transport.http import NO_ANSWER, HttpAnswer, post
from agent_client.transport.tls import Tls
from agent_client.transport.urls import split_urls, without_secrets

logger = logging.getLogger("homeport.client")

_UNAVAILABLE = (502, 503, 504)
"""Statuses of a hub that cannot serve now, or of a proxy that cannot reach it."""


class HttpHubs:
    """The hubs in the order in which to try them, as `Endpoints` has it."""

    def __init__(self) -> None:
        self._endpoints = Endpoints([])

    def post(
        self,
        urls: str,
        path: str,
        body: bytes,
        headers: Headers,
        *,
        credentials: Credentials,
        tls: Tls,
        timeout: float,
    ) -> HttpAnswer:
        """Return the answer of the first hub that gives one; the last hub's failure otherwise.

        `urls` may change between two calls. Raises one of NO_ANSWER, ValueError for what is no URL
        of a hub, and BadRequest for a token or a file that cannot be used.
        """

        def post_to(base: str) -> HttpAnswer:
            sent = with_authorization(headers, credentials.of(base))
            return post(base + path, body, sent, seconds, tls)

        endpoints = self._current(urls)
        seconds = endpoints.attempt_timeout(timeout)
        *others, last = endpoints.in_turn()
        for base in others:
            try:
                answer = post_to(base)
            except NO_ANSWER as error:
                logger.warning("No answer from %s: %s", without_secrets(base), error)
            else:
                if answer.status not in _UNAVAILABLE:
                    endpoints.prefer(base)
                    return answer
                shown = without_secrets(base)
                logger.warning("%s answers %s%s", shown, answer.status, answer.via)
            endpoints.defer(base)
        return post_to(last)

    def _current(self, given: str) -> Endpoints:
        urls = list(dict.fromkeys(url.rstrip("/") for url in split_urls(given)))
        if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise ValueError("orchestrator_url must begin with http:// or https://")
        if set(urls) != set(self._endpoints.in_turn()):
            self._endpoints = Endpoints(urls)
        return self._endpoints
