"""The forms of a store's URL, and the parts of those with several servers."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

FORMS = (
    "redis://HOST:PORT, rediss://HOST:PORT, redis+sentinel://HOST:PORT,…/PRIMARY, "
    "redis+cluster://HOST:PORT,…, unix:///SOCKET or memory://"
)
"""All forms, as shown to a user."""

Address = tuple[str, int]

_SEVERAL = re.compile(
    r"(?P<tls>rediss?)\+(?P<kind>sentinel|cluster)://(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]+)"
    r"(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_SENTINEL_ONLY = {"sentinel_username", "sentinel_password"}


class SeveralServers(Struct, frozen=True, kw_only=True):
    """A URL of Redis Sentinel or of a Redis Cluster.

    `addresses` are the Sentinels, or some of the cluster's nodes. `data_url` has the login, the
    database and the options for the servers with the data, in the form for one server. `primary` is
    the Sentinels' name of the primary, and `login` the login for the Sentinels.
    """

    kind: Literal["sentinel", "cluster"]
    addresses: tuple[Address, ...]
    data_url: str
    primary: str = ""
    login: dict[str, str] = {}


def is_redis_url(url: str) -> bool:
    """Whether `url` has one of the forms; nothing is said about the servers."""
    if re.search(r"\s", url):
        return False
    return several_servers(url) is not None or _is_one_server(url)


def complaint(url: str) -> str:
    """What is wrong with an invalid URL, without repeating any part of it."""
    match = _SEVERAL.fullmatch(url)
    if match is not None and _addresses(match["hosts"], 6379):
        path = match["path"] or ""
        if match["kind"] == "sentinel" and not path.partition("/")[0]:
            return (
                "the name of the primary is missing: it follows the addresses, as in "
                "redis+sentinel://HOST:PORT,…/PRIMARY"
            )
        if match["kind"] == "cluster" and (
            _database_in_query(match["query"]) or path.removesuffix("/").isdecimal()
        ):
            return "a Redis Cluster has no database but 0: leave it out of the URL"
    return f"expected {FORMS}"


def several_servers(url: str) -> SeveralServers | None:
    """The parts of a URL with `+sentinel` or `+cluster`; None when it is not a valid one."""
    match = _SEVERAL.fullmatch(url)
    if match is None:
        return None
    is_sentinel = match["kind"] == "sentinel"
    addresses = _addresses(match["hosts"], 26379 if is_sentinel else 6379)
    primary, _, database = (match["path"] or "").partition("/")
    if not is_sentinel:
        primary, database = "", primary + database
    database = database.removesuffix("/")
    if not addresses or is_sentinel != bool(primary) or not _is_database(database, match["kind"]):
        return None
    if not is_sentinel and _database_in_query(match["query"]):
        return None
    query = parse_qsl(match["query"] or "", keep_blank_values=True)
    kept = urlencode([pair for pair in query if not is_sentinel or pair[0] not in _SENTINEL_ONLY])
    login = f"{match['login']}@" if match["login"] else ""
    return SeveralServers(
        kind="sentinel" if is_sentinel else "cluster",
        addresses=addresses,
        data_url=f"{match['tls']}://{login}host/{database or 0}" + (f"?{kept}" if kept else ""),
        primary=unquote(primary),
        login={
            name.removeprefix("sentinel_"): value
            for name, value in query
            if is_sentinel and name in _SENTINEL_ONLY and value
        },
    )


def _addresses(hosts: str, default_port: int) -> tuple[Address, ...]:
    """Every address once, in order; empty when one of them is invalid."""
    addresses: list[Address] = []
    for each in hosts.split(","):
        match = _HOST.fullmatch(each)
        port = int(match["port"] or default_port) if match else 0
        if match is None or not 0 < port <= 65535:
            return ()
        addresses.append((unquote(match["host"].strip("[]")), port))
    return tuple(dict.fromkeys(addresses))


def _is_database(text: str, kind: str) -> bool:
    # A cluster has only one database.
    return text in ("", "0") or (kind == "sentinel" and text.isascii() and text.isdecimal())


def _database_in_query(query: str | None) -> bool:
    """Whether the query chooses another database than 0."""
    return any(name == "db" and value != "0" for name, value in parse_qsl(query or ""))


def _is_one_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    match parts.scheme:
        case "redis" | "rediss":
            return bool(parts.hostname) and port != 0 and _has_database(parts)
        case "unix":
            return parts.path.startswith("/") and len(parts.path) > 1
        case "memory":
            return not parts.netloc and parts.path in ("", "/")
        case _:
            return False


def _has_database(parts: SplitResult) -> bool:
    database = parts.path.removeprefix("/")
    return not database or database.isdecimal()
