"""Query parameters: which agents, how many, and after which cursor."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct
from starlette.datastructures import QueryParams

from actors.directory.directory import Page
from actors.runtime.turns import Steps
from homeport_protocol.bounds import MAX_FIND_LIMIT, MAX_PAGE_BYTES, STRATEGIES, Strategy
from homeport_protocol.codec import convert
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.namespaces import NAMESPACE_PARAMETER
from hub.http.misspelling import meant_parameter
from hub.http.ports import NamespaceApi

MAX_AMBIGUOUS = 4
"""Metadata values of one query that may each be a text or a number; see `Query.filters`."""

MAX_KEY_LENGTH = 256


_WORDS = ("type", "name", "host", "version")
_LISTS = {"capability": "capabilities", "any_capability": "any_capability"}
_FILTER = ("type", "name", "capability", "any_capability", "status", "host", "version", "meta.KEY")
_ROUTED = ("limit", "cursor", "strategy")
"""Parameters of some of the routes: at the others they are refused, not ignored."""

_LIMIT = re.compile(r"[0-9]{1,9}")


class Query(Struct, frozen=True):
    """What a caller asks for.

    `filters` are alternatives, tried in order until one matches an agent. A query string has no
    types: `meta.zone=3` means the text "3" or, if no agent has that, the number 3. There is one
    alternative for each combination, hence a single one when every value can only be a text.
    """

    filters: list[Filter]
    limit: int | None = None
    cursor: str | None = None
    strategy: Strategy = "round_robin"
    key: str | None = None


def find_query(params: QueryParams, type_: str | None = None) -> Query:
    """The parameters of a list: filter, `limit`, `cursor`; `type_` when the path names the type.

    Raises ProtocolError `bad_request`, which names the wrong parameter.
    """
    known = {} if type_ is None else {"type": type_}
    filters, rest = _read(params, known, ("limit", "cursor"))
    limit = rest.get("limit")
    return Query(
        filters=filters,
        limit=None if limit is None else _limit(limit),
        cursor=rest.get("cursor"),
    )


def pick_query(params: QueryParams) -> Query:
    """The parameters of a pick: filter, `strategy`, `key`; raises as `find_query` does."""
    filters, rest = _read(params, {}, ("strategy", "key"))
    strategy = rest.get("strategy", "round_robin")
    if strategy not in STRATEGIES:
        raise _bad("strategy", f"{strategy[:64]!r} is not one of {', '.join(STRATEGIES)}")
    key = rest.get("key")
    if key is not None and len(key) > MAX_KEY_LENGTH:
        raise _bad("key", f"longer than {MAX_KEY_LENGTH} characters")
    return Query(filters=filters, strategy=strategy, key=key)


class Listing:
    """The answer to a list: the agents of the first alternative that matches one.

    It is read page by page, so that a long one never lies in memory as a whole: an agent that
    comes or goes meanwhile may be listed or not, any other is listed once. Raises ProtocolError.
    """

    def __init__(self, directory: NamespaceApi, query: Query) -> None:
        self._directory = directory
        self._limit = query.limit
        self._cursor = query.cursor
        self._prefix = ""
        self._filter = query.filters[0]
        self.count = 0
        """Agents in the pages so far."""
        self._choice = query if len(query.filters) > 1 else None

    def next_page(self) -> Steps[Page]:
        """The agents that come next; `ended` says whether there are more."""
        if self._choice is not None:
            query, self._choice = self._choice, None
            yield from self._choose(query)
        left = None if self._limit is None else self._limit - self.count
        page = yield from self._directory.find(self._filter, left, self._cursor, MAX_PAGE_BYTES)
        self.count += len(page.agents)
        self._cursor = page.next_cursor
        return page

    @property
    def ended(self) -> bool:
        """Whether the page before was the last."""
        return self._cursor is None or self.count == self._limit

    @property
    def next_cursor(self) -> str | None:
        """What the caller sends to get what comes after the limit; None for nothing."""
        return None if self._cursor is None else self._prefix + self._cursor

    def _choose(self, query: Query) -> Steps[None]:
        """Choose the alternative, whose number is the beginning of every cursor."""
        chosen = 0
        if query.cursor is not None:
            number, _, self._cursor = query.cursor.partition(".")
            if number not in map(str, range(len(query.filters))):
                raise _bad("cursor", "not of this query; send the `next_cursor` of its last page")
            chosen = int(number)
        else:
            for index, alternative in enumerate(query.filters):
                page = yield from self._directory.find(alternative, 1, None)
                if page.agents:
                    chosen = index
                    break
        self._filter = query.filters[chosen]
        self._prefix = f"{chosen}."


def pick(directory: NamespaceApi, query: Query) -> Steps[bytes]:
    """An agent of the first alternative that has one; raises ProtocolError."""
    for alternative in query.filters[:-1]:
        try:
            return (yield from directory.pick(alternative, query.strategy, query.key))
        except ProtocolError as error:
            if error.code != "no_match":
                raise
    return (yield from directory.pick(query.filters[-1], query.strategy, query.key))


def _read(
    params: QueryParams, known: dict[str, Any], others: tuple[str, ...]
) -> tuple[list[Filter], dict[str, str]]:
    if not params:
        return [_filter(known, {})], {}
    wanted: dict[str, Any] = dict(known)
    metadata: dict[str, str] = {}
    rest: dict[str, str] = {}
    given: dict[str, list[str]] = {}
    for name, value in params.multi_items():
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        if name in known:
            raise _bad(name, "the path names it already")
        if name in _LISTS:
            wanted[_LISTS[name]] = values
        elif name == "status":
            wanted[name] = [each for value in values for each in value.split(",")]
        elif name in _WORDS:
            wanted[name] = _once(name, values)
        elif name.startswith("meta.") and name != "meta.":
            metadata[name.removeprefix("meta.")] = _once(name, values)
        elif name in others:
            rest[name] = _once(name, values)
        elif name != NAMESPACE_PARAMETER:
            names = [*(each for each in _FILTER if each not in known), *others, NAMESPACE_PARAMETER]
            meant = meant_parameter(name, [*names, *known, *_ROUTED])
            if meant is not None:
                if meant in names:
                    raise _bad(name, f"no such query parameter; is {meant} meant?")
                raise _bad(name, f"not a parameter here; there are {', '.join(names)}")
    return [_filter(wanted, reading) for reading in _readings(metadata)], rest


def _filter(wanted: dict[str, Any], metadata: dict[str, Any]) -> Filter:
    return convert({**wanted, "metadata": metadata} if metadata else wanted, Filter)


def _readings(metadata: dict[str, str]) -> list[dict[str, Any]]:
    """Every combination of types that the values may have, beginning with texts only."""
    readings = [_scalars(text) for text in metadata.values()]
    if sum(len(each) > 1 for each in readings) > MAX_AMBIGUOUS:
        raise _bad("meta", f"more than {MAX_AMBIGUOUS} values that may be texts or numbers")
    return [dict(zip(metadata, values, strict=True)) for values in product(*readings)]


def _scalars(text: str) -> list[Any]:
    try:
        value = msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        # Not JSON, so only a text; the errors of msgspec and of encodings are ValueErrors.
        return [text]
    return [text, value] if isinstance(value, int | float) else [text]


def _limit(text: str) -> int:
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_FIND_LIMIT:
        raise _bad("limit", f"{text[:32]!r} is not a whole number from 1 to {MAX_FIND_LIMIT}")
    return int(text)


def _once(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise _bad(name, "given more than once")
    return values[0]


def _bad(name: str, words: str) -> ProtocolError:
    name = name[:64]
    return ProtocolError("bad_request", f"{name}: {words}", field=name)
