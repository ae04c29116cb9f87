"""Where the keys of JWTs are read from, again and again: a file, or a URL.

What cannot be read or used leaves the keys that were read before, and is a warning.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO
from urllib.parse import urlsplit

from homeport_protocol.errors import ProtocolError
from hub.auth.jwk_set import EMPTY, MAX_BYTES, JwkSet, JwkSetError, read_jwk_set
from hub.net.file_changes import FileChanges
from hub.telemetry import logs

FETCH_EVERY = 60.0
"""Seconds after which the keys of a URL are fetched again."""

FETCH_AGAIN = 10.0
"""Seconds between two fetches at least, whatever tokens name."""

FETCH_TIMEOUT = 3.0
"""Seconds that a fetch may take."""

logger = logs.get("hub.auth")


class JwtKeys:
    """The keys at `source`, a file or a URL; `look` is called every second or so, in a thread.

    Raises JwkSetError for a file that cannot be used. A URL that does not answer is no error, since
    what is there may start after the hub.
    """

    def __init__(self, source: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.current: JwkSet = EMPTY
        self.problem: str | None = None
        """Why the last reading failed, in one plain phrase."""
        self._source = source
        # A query may have a key of its own in it.
        self._shown = source.partition("?")[0] if "://" in source else source
        self._monotonic = monotonic
        self._is_url = "://" in source
        self._changes = None if self._is_url else FileChanges(source)
        self._lock = threading.Lock()
        self._tried_at = -FETCH_EVERY
        self._refreshing: asyncio.Task[None] | None = None
        self._read()
        if self.problem is not None and not self._is_url:
            raise JwkSetError(self.problem)

    def look(self) -> bool:
        """Read the keys again when it is time to; blocks. Returns whether they are others now."""
        if self._changes is not None:
            due = self._changes.any()
        else:
            wait = FETCH_EVERY if self.problem is None else FETCH_AGAIN
            due = self._monotonic() - self._tried_at >= wait
        return due and self._read()

    def may_be_newer(self, kid: str | None) -> bool:
        """Whether to `refresh` before a token with this `kid` is refused.

        Raises ProtocolError `unavailable` if no keys were read so far and it is too early to try.
        """
        if not self._is_url:
            return False
        known = self.current.knows(kid) if kid is not None else self.current is not EMPTY
        if known:
            return False
        if self._refreshing is not None or self._monotonic() - self._tried_at >= FETCH_AGAIN:
            return True
        if self.current is EMPTY:
            raise ProtocolError("unavailable", "the keys of JWTs could not be read; try again")
        return False

    async def refresh(self) -> None:
        """Fetch the keys now; callers at the same time wait for one fetch."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._fetch(), name="jwt keys")
        await asyncio.shield(self._refreshing)

    async def _fetch(self) -> None:
        try:
            await asyncio.to_thread(self._read)
        finally:
            self._refreshing = None

    def _read(self) -> bool:
        with self._lock:
            self._tried_at = self._monotonic()
            before = self.problem
            try:
                data = _fetched(self._source) if self._is_url else _content(self._source)
                keys = read_jwk_set(data)
            except (JwkSetError, OSError, http.client.HTTPException, ValueError) as error:
                self.problem = f"jwt_keys: {self._shown} {_words(error)}"
                if self.problem != before:
                    logger.error("keys of JWTs not read", reason=self.problem)
                return False
            self.problem = None
            changed = keys.thumbprints != self.current.thumbprints
            self.current = keys
            if changed or before is not None:
                logger.info("keys of JWTs read", source=self._shown, keys=len(keys.thumbprints))
            return changed


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect that leaves TLS."""

    def redirect_request(  # noqa: PLR0917 - the library's own signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise JwkSetError("redirects to a URL without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetched(url: str) -> bytes:
    """What the URL answers, within the bounds of size and time."""
    until = time.monotonic() + FETCH_TIMEOUT
    handlers: list[urllib.request.BaseHandler] = [_SafeRedirects()]
    if urlsplit(url).scheme == "http":  # on this machine, where no proxy is to come between
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    found = bytearray()
    with opener.open(request, timeout=FETCH_TIMEOUT) as answer:
        while len(found) <= MAX_BYTES:
            part = answer.read1(64 * 1024)
            if not part:
                break
            found += part
            if time.monotonic() > until:
                raise TimeoutError
    return bytes(found)


def _words(error: Exception) -> str:
    match error:
        case JwkSetError():
            return str(error)
        case urllib.error.HTTPError():
            return f"answers {error.code}"
        case urllib.error.URLError() if isinstance(error.reason, OSError):
            return _words(error.reason)
        case TimeoutError():
            return f"does not answer within {FETCH_TIMEOUT:g} seconds"
        case OSError(strerror=str(why)) if why:
            return f"cannot be read: {why.lower()}"
        case _:
            return "cannot be read"
