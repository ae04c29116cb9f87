"""The headers sent to a hub: those that the user gives, and the namespace.

A gateway in front of a hub may ask for headers of its own. Their values may be secrets, so no
error, log or repr repeats one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent_client.errors import BadRequest
from agent_client.transport.credentials import TokenSource
from homeport_protocol.namespaces import NAMESPACE_HEADER, NAMESPACE_RULE, is_namespace

HEADERS_VARIABLE = "HOMEPORT_HEADERS"
AUTHORIZATION = "Authorization"

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.1
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")

_NOT_THE_USER_S = re.compile(
    r"connection|content-.*|expect|homeport-session-token|host|http2-settings|keep-alive|proxy-.*"
    r"|sec-websocket-.*|te|trailer|transfer-encoding|upgrade",
    re.IGNORECASE,
)
"""Headers that belong to the handshake, to one hop or to a request's body."""


class Headers(dict[str, str]):
    """Headers by name; the repr has the names only."""

    def __repr__(self) -> str:
        return f"<headers: {', '.join(self) or 'none'}>"

    __str__ = __repr__

    def has(self, name: str) -> bool:
        """Whether there is a header `name`, in any case of its letters."""
        return name.lower() in map(str.lower, self)


def headers_to_hub(headers: Mapping[str, str] | None, *, namespace: str | None = None) -> Headers:
    """What is sent to every hub: `headers` as `user_headers` reads them, and the namespace.

    Raises BadRequest, which names what is wrong.
    """
    sent = user_headers(headers)
    if namespace is not None:
        if not is_namespace(namespace):
            raise BadRequest(f"namespace: expected {NAMESPACE_RULE}", field="namespace")
        if sent.has(NAMESPACE_HEADER):
            raise _twice(NAMESPACE_HEADER, "`namespace`")
        sent[NAMESPACE_HEADER] = namespace
    return sent


def check_authorization(headers: Headers, source: TokenSource | None) -> None:
    """Raise BadRequest when both `headers` and `source` say who the client is."""
    if source is not None and headers.has(AUTHORIZATION):
        raise _twice(AUTHORIZATION, source.given_by)


def with_authorization(headers: Headers, source: TokenSource | None) -> Headers:
    """A copy of `headers` with the token that `source` gives now. Raises BadRequest."""
    check_authorization(headers, source)
    sent = Headers(headers)
    if source is not None:
        sent[AUTHORIZATION] = source.authorization()
    return sent


def user_headers(headers: Mapping[str, str] | None) -> Headers:
    """Check and copy `headers`; None reads HOMEPORT_HEADERS: `Name: value`, one a line.

    Raises BadRequest, which names the header and never repeats its value.
    """
    if headers is not None:
        if not isinstance(headers, Mapping):
            raise BadRequest("headers: expected a mapping of names to values", field="headers")
        return _checked(headers.items(), "headers")
    lines = re.split(r"\r?\n", os.environ.get(HEADERS_VARIABLE, ""))
    return header_lines((line for line in lines if line.strip()), HEADERS_VARIABLE)


def header_lines(lines: Iterable[str], where: str) -> Headers:
    """Read headers such as `Name: value`. Raises BadRequest, which begins with `where`."""
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(f"{where}: header {number} is not of the form Name: value")
        pairs.append((name.strip(), value.strip(" \t")))
    return _checked(pairs, where)


def _checked(pairs: Iterable[tuple[Any, Any]], where: str) -> Headers:
    headers = Headers()
    names: set[str] = set()
    for number, (name, value) in enumerate(pairs, 1):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            # What follows the first bad character may be a part of a value.
            known = _NAME.match(name) if isinstance(name, str) else None
            shown = f"{known.group()}…" if known else str(number)
            problem = f"the name of header {shown} may hold no spaces, quotes or other separators"
        elif _NOT_THE_USER_S.fullmatch(name):
            problem = f"{name} is not one to be set by hand"
        elif name.lower() in names:
            problem = f"{name} is given twice"
        elif not isinstance(value, str):
            problem = f"the value of {name} is not a string"
        elif not _VALUE.fullmatch(value):
            problem = f"the value of {name} may hold visible ASCII characters and inner spaces only"
        else:
            names.add(name.lower())
            headers[name] = value
            continue
        raise BadRequest(f"{where}: {problem}", field="headers")
    return headers


def _twice(name: str, option: str) -> BadRequest:
    return BadRequest(f"headers: {name} is set by {option} as well; give one", field="headers")
