"""The hubs' URLs: from what a user wrote to those of their websockets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from agent_client.errors import BadURL
from agent_client.transport.proxies import as_ip
from homeport_protocol.websocket import WEBSOCKET_PATH

DEFAULT_URL = "http://127.0.0.1:8080"

_PORTS = {"ws": 80, "wss": 443}

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def hub_urls(url: str | Sequence[str] | None) -> list[str]:
    """The websocket URLs of the hubs, in the order given, without duplicates.

    A string may hold several, separated by commas or spaces. None reads HOMEPORT_URL, which
    defaults to `DEFAULT_URL`. Raises BadURL.
    """
    if url is None:
        given = split_urls(os.environ.get("HOMEPORT_URL", "")) or [DEFAULT_URL]
        try:
            return _unique(given)
        except BadURL as error:
            raise BadURL(f"HOMEPORT_URL: {error}") from None
    elif isinstance(url, str):
        given = split_urls(url) or [url]
    else:
        given = list(url)
    if not given:
        raise BadURL("no URL of a hub was given")
    return _unique(given)


def _unique(given: list[str]) -> list[str]:
    return list(dict.fromkeys(websocket_url(each) for each in given))


def split_urls(text: str) -> list[str]:
    """Split a text at commas and spaces."""
    return [each for each in re.split(r"[,\s]+", text) if each]


def websocket_url(url: str) -> str:
    """The websocket's URL for a hub's URL: http, https, ws or wss, with or without `/ws`.

    A path before `/ws` and a query are kept. Raises BadURL, which never repeats a password.
    """
    parts = _split(url)
    user_and_password(url)
    path = parts.path.rstrip("/")
    if not path.endswith(WEBSOCKET_PATH):
        path += WEBSOCKET_PATH
    return in_full(urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, "")))


class Origin(NamedTuple):
    """Whom a URL leads to: what is a secret of one origin is not sent to another."""

    secure: bool
    host: str
    port: int


def origin(url: str) -> Origin:
    """The origin of `url`; http and ws are the same, and so are https and wss. Raises BadURL."""
    parts = _split(url)
    scheme = _SCHEMES[parts.scheme]
    return Origin(scheme == "wss", parts.hostname or "", parts.port or _PORTS[scheme])


def keeps_secrets(before: Origin, after: Origin) -> bool:
    """Whether a redirect may take secrets along: to the same origin, or to its form with TLS."""
    return after == before or (
        before == Origin(False, after.host, _PORTS["ws"])
        and after == Origin(True, before.host, _PORTS["wss"])
    )


def redirect_target(url: str, location: str) -> str:
    """The websocket's URL to which `location`, an answer of `url`, redirects. Raises BadURL."""
    parts = _split(urljoin(url, location))
    target = (_SCHEMES[parts.scheme], parts.netloc, parts.path, parts.query, "")
    return in_full(urlunsplit(target))


def user_and_password(url: str) -> tuple[str, str] | None:
    """Those of `url`; None when it names none. Raises BadURL when only one of them is there."""
    parts = _parts(url)
    if parts is None or ("@" not in parts.netloc and "@" in parts.path + parts.fragment):
        raise BadURL(
            "the hub's URL is malformed; within a password, / ? # and @ are written "
            "%2F %3F %23 and %40"
        )
    if "@" not in parts.netloc:
        return None
    try:
        user = unquote(parts.username or "", errors="strict")
        password = unquote(parts.password or "", errors="strict")
    except UnicodeDecodeError:
        user, password = "\0", ""
    shown = without_secrets(url)
    if not f"{user}{password}".isprintable():
        raise BadURL(f"the hub's URL {shown!r} has a user or password that is no text")
    if not password:
        raise BadURL(
            f"the hub's URL {shown!r} has a user and no password; the token is the password: "
            "http://agent:TOKEN@hub:8080"
        )
    return user, password


def without_user(url: str) -> str:
    """`url` without user and password, which go in a header."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def in_full(url: str) -> str:
    """`url` with an IPv4 address in full, as browsers and curl send it.

    `127.1` is a name to a hub, and none of its own.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    ip = None if ":" in host else as_ip(host)
    if ip is None:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=f"{user}{at}{ip}{port}"))


def without_secrets(url: str) -> str:
    """`url` without user, password and query, for messages and logs."""
    parts = urlsplit(without_user(url))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _split(url: str) -> SplitResult:
    parts = _parts(url)
    if parts is None:
        raise BadURL("the hub's URL is malformed; expected such as http://hub:8080")
    shown = without_secrets(url)
    if parts.scheme not in _SCHEMES or "://" not in url:
        raise BadURL(f"the hub's URL {shown!r} must begin with http://, https://, ws:// or wss://")
    if not parts.hostname:
        raise BadURL(f"the hub's URL {shown!r} names no host")
    if parts.port == 0:
        raise BadURL(f"the hub's URL {shown!r} names port 0, where nothing can listen")
    return parts


def _parts(url: str) -> SplitResult | None:
    """None for what is no URL: no error has one in its context that quotes a password."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        return None
    return parts
