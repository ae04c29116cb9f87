"""Where the hubs are: from what a user wrote to websocket URLs, and which one to try next."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

from agent_client.errors import BadURL

DEFAULT_URL = "http://127.0.0.1:8080"

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def hub_urls(url: str | Sequence[str] | None) -> list[str]:
    """The websocket URLs to try, in order.

    None reads HOMEPORT_URL, where several may stand, separated by commas or spaces, and falls
    back to `DEFAULT_URL`. Raises BadURL.
    """
    if url is None:
        given: Sequence[str] = re.split(r"[,\s]+", os.environ.get("HOMEPORT_URL", "").strip(", \t"))
        if given == [""]:
            given = [DEFAULT_URL]
    else:
        given = [url] if isinstance(url, str) else list(url)
    if not given:
        raise BadURL("no URL of a hub was given")
    return list(dict.fromkeys(websocket_url(each) for each in given))


def websocket_url(url: str) -> str:
    """A hub's URL (http, https, ws or wss, with or without `/ws`) as that of its websocket.

    A path before `/ws` and a query are kept. Raises BadURL, which never repeats a password.
    """
    parts = _split(url)
    path = parts.path.rstrip("/")
    if not path.endswith("/ws"):
        path += "/ws"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine, where no proxy has any business."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_secrets(url: str) -> str:
    """`url` as it may be shown: no user, password or query."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


class Endpoints:
    """The hubs' URLs; the last good one is always tried first, the others in turn after it."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)
        self._first = 0

    def in_turn(self) -> Iterator[str]:
        """Every URL once, from the preferred one on."""
        first = self._first
        yield from self._urls[first:]
        yield from self._urls[:first]

    def prefer(self, url: str) -> None:
        """`url` worked: begin there next time."""
        self._first = self._urls.index(url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise BadURL("the hub's URL is malformed; expected such as http://hub:8080") from None
    shown = without_secrets(url)
    if parts.scheme not in _SCHEMES or "://" not in url:
        raise BadURL(f"the hub's URL {shown!r} must begin with http://, https://, ws:// or wss://")
    if not parts.hostname:
        raise BadURL(f"the hub's URL {shown!r} names no host")
    if port == 0:
        raise BadURL(f"the hub's URL {shown!r} names port 0, where nothing can listen")
    return parts
