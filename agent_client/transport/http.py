"""One request to a hub over HTTP, by the standard library's client, for programs without asyncio.

A redirection that keeps the method (301 of a proxy, 307, 308) is followed with the body. One that
does not (302, 303) is mostly a login page, and so an error that says it. No secret leaves by a
redirection: nothing goes from https to http, and no token or other header to another origin.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from agent_client.transport.headers import Headers
from agent_client.transport.opener import opener
from agent_client.transport.proxies import Proxy, ProxyError, proxy_for
from agent_client.transport.readable import warn_if_readable
from agent_client.transport.reasons import mismatch
from agent_client.transport.retry_after import retry_after
from agent_client.transport.tls import Tls
from agent_client.transport.tunnels import CREDENTIALS_WANTED
from agent_client.transport.urls import (
    in_full,
    keeps_secrets,
    origin,
    without_secrets,
    without_user,
)
from homeport_protocol.http import SESSION_TOKEN_HEADER

MAX_ANSWER_BYTES = 1 << 20
"""What is read of an answer."""

NO_ANSWER = (OSError, HTTPException)
"""What `post` raises when there is no answer."""

_KEEPS_METHOD = (301, 307, 308)

_TO_OTHER_ORIGINS = ("content-type", SESSION_TOKEN_HEADER.lower())
"""Headers that a redirection may take to another origin; others may be secrets of the first."""


class HttpAnswer(Struct, frozen=True):
    """An answer. `retry_after` is in seconds, at most 30; None when the header is missing.

    `error` is what a hub says in the body of a failure; None for a body that no hub would send.
    `via` names the proxy, if there is one, for messages.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    via: str = ""

    @property
    def error(self) -> str | None:
        try:
            return msgspec.json.decode(self.body, type=_ErrorBody).error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    @property
    def shown(self) -> str:
        """The beginning of the body, for a log."""
        return self.body[:500].decode(errors="replace") + self.via


class _ErrorBody(Struct):
    error: str


def post(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, tls: Tls | None = None
) -> HttpAnswer:
    """Send `body` as JSON to `url`, which is http or https, and return the answer.

    Raises one of NO_ANSWER, and BadRequest for files of `tls` that cannot be used.
    """
    return ask("POST", url, body, headers, seconds, tls)


def ask(  # noqa: PLR0917 - in the order of what is sent
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    seconds: float,
    tls: Tls | None = None,
    most: int = MAX_ANSWER_BYTES,
) -> HttpAnswer:
    """Make a request by any method, as `post` does; user and password of `url` are not sent.

    `most` bytes are read of the answer.
    """
    url = in_full(without_user(url))
    headers = Headers({"Content-Type": "application/json", **headers})
    warn_if_readable(url, headers)
    request = urllib.request.Request(  # noqa: S310 - the caller has checked the scheme
        url, data=body, headers=headers, method=method
    )
    until = time.monotonic() + seconds
    proxy = proxy_for(url)
    try:
        try:
            with opener(tls or Tls(), _Redirections()).open(request, timeout=seconds) as response:
                return _answer(response.status, response, until, proxy, most)
        except HTTPError as error:
            with error:
                return _answer(error.code, error, until, proxy, most)
        except URLError as error:
            reason = error.reason
            raise reason if isinstance(reason, OSError) else OSError(reason) from None
    except NO_ANSWER as error:
        why = mismatch(error, secure=url.startswith("https:"))
        if proxy is None:
            if why is None:
                raise
            raise OSError(f"{without_secrets(url)}: {why}") from error
        wanted = str(error).startswith("Tunnel connection failed: 407")
        words = CREDENTIALS_WANTED if wanted else why or str(error) or type(error).__name__
        raise OSError(f"no answer through the proxy {proxy}: {words}") from error


def _answer(
    status: int, response: HTTPResponse | HTTPError, until: float, proxy: Proxy | None, most: int
) -> HttpAnswer:
    """Read the body piece by piece: one that comes slowly must not take for ever."""
    if proxy is not None and status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise ProxyError(CREDENTIALS_WANTED)
    body = b""
    while len(body) < most:
        piece = response.read1(most - len(body))
        if not piece:
            break
        body += piece
        if time.monotonic() > until:
            raise TimeoutError("the answer took too long")
    hint = response.headers.get("Retry-After")
    via = "" if proxy is None else f" through the proxy {proxy}"
    return HttpAnswer(status, body, None if hint is None else retry_after(hint), via)


class _Redirections(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(  # noqa: PLR0917 - of the class that it overrides
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request:
        del fp, msg, headers
        newurl = in_full(without_user(newurl))
        shown, before, after = without_secrets(newurl), urlsplit(req.full_url), urlsplit(newurl)
        if code not in _KEEPS_METHOD:
            raise OSError(
                f"HTTP {code} leads to {shown}, as to the login page of a proxy: give the proxy "
                "what it asks for, or use the hub's own URL"
            )
        downgraded = before.scheme == "https" and after.scheme == "http"
        if downgraded or after.scheme not in ("http", "https"):
            raise OSError(
                f"HTTP {code} leads to {shown}, which is not followed from {before.scheme}"
            )
        others = [name for name in req.headers if name.lower() not in _TO_OTHER_ORIGINS]
        if others and not keeps_secrets(origin(req.full_url), origin(newurl)):
            raise OSError(
                f"HTTP {code} leads to {shown}, another origin, to which {others[0]} is not sent: "
                "use that URL if it is the hub's"
            )
        return urllib.request.Request(  # noqa: S310 - checked above
            newurl, data=req.data, headers=dict(req.headers), method=req.get_method()
        )
