"""Which versions a specifier such as `>=1.2,<2` matches: the filter's `version`.

An agent's version may be any text. A clause compares it with the clause's own version by the first
of these that can read both:

1. PEP 440: `1.2`, `v1.2`, `1.3.0rc1`, `1.2.3-beta.2+build`.
2. Semantic Versioning 2.0.0, with any number of numbers: `1.3.0-SNAPSHOT`.
3. As text: equal or not. Nothing else holds, for a text has no order.

Pre-releases, development releases among them, are left out unless the specifier names one in a
clause that is not `!=`. That is the rule of PEP 440; which clauses count differs between releases
of `packaging`, so it stands here. An agent without a version matches no specifier.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Struct
from packaging.specifiers import InvalidSpecifier, Specifier
from packaging.version import InvalidVersion, Version

KNOWN = 1024
"""Versions that are kept as they were read; the least recently used one is forgotten."""

_CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*(.+)", re.DOTALL)
_SEMANTIC = re.compile(
    r"v?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z.-]+))?"
)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~=": operator.ge,
}

Identifier = tuple[int, int, str]
"""Numbers come before words, numbers by value, words by their ASCII codes."""


class SemanticVersion(Struct, frozen=True, gc=False):
    """A version as Semantic Versioning reads it; `build` is no part of its precedence.

    `numbers` as written; `precedence` orders as section 11 of the specification says.
    """

    numbers: tuple[int, ...]
    precedence: tuple[tuple[int, ...], bool, tuple[Identifier, ...]]
    build: str | None

    @property
    def is_prerelease(self) -> bool:
        """Whether something stands behind the numbers."""
        return not self.precedence[1]


class ParsedVersion(Struct, frozen=True, gc=False):
    """A version in all the ways in which it can be read."""

    text: str
    pep440: Version | None
    semantic: SemanticVersion | None
    is_prerelease: bool


class _Clause(Struct, frozen=True, gc=False):
    """One clause; `pep440` is None when PEP 440 does not know the clause."""

    operator: str
    version: ParsedVersion
    pep440: Specifier | None

    @property
    def names_prerelease(self) -> bool:
        return self.operator != "!=" and self.version.is_prerelease

    def holds(self, version: ParsedVersion) -> bool:
        own = self.version
        if self.operator == "===":
            return version.text.lower() == own.text.lower()
        if self.pep440 is not None and version.pep440 is not None:
            return self.pep440.contains(version.pep440, prereleases=True)
        if own.semantic is not None and version.semantic is not None:
            return _semantic_holds(self.operator, version.semantic, own.semantic)
        if self.operator in ("==", "!="):
            return (version.text == own.text) is (self.operator == "==")
        return False


def compile_specifier(text: str) -> Callable[[str], bool]:
    """Whether a version satisfies every clause. Raises ValueError, which says what is wrong."""
    clauses = [_clause(each.strip()) for each in text.split(",") if each.strip()]
    prereleases = any(clause.names_prerelease for clause in clauses)

    def satisfies(version: str) -> bool:
        parsed = parse_version(version)
        if not version or (parsed.is_prerelease and not prereleases):
            return False
        return all(clause.holds(parsed) for clause in clauses)

    return satisfies


@lru_cache(KNOWN)
def parse_version(text: str) -> ParsedVersion:
    """The version in all the ways in which it can be read; every text is one."""
    semantic = _parse_semantic(text)
    try:
        pep440 = Version(text)
    except InvalidVersion:
        return ParsedVersion(text, None, semantic, semantic is not None and semantic.is_prerelease)
    return ParsedVersion(text, pep440, semantic, pep440.is_prerelease)


def _clause(text: str) -> _Clause:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} needs an operator and a version, as in '>=1.2,<2' or '==1.3'")
    sign, version = match.groups()
    parsed = parse_version(version)
    try:
        pep440 = None if sign == "===" else Specifier(f"{sign}{version}")
    except InvalidSpecifier:
        pep440 = None
    if pep440 is None and sign != "===":
        if "*" in version:
            raise ValueError(f"{text!r}: '.*' may follow numbers, behind '==' or '!='")
        if sign not in ("==", "!=") and parsed.semantic is None:
            raise ValueError(f"{text!r}: {version!r} has no order; compare it by '==' or '!='")
        if sign == "~=" and parsed.semantic is not None and len(parsed.semantic.numbers) < 2:
            raise ValueError(f"{text!r}: '~=' needs two numbers, as in '~=1.2'")
    return _Clause(sign, parsed, pep440)


def _semantic_holds(sign: str, version: SemanticVersion, own: SemanticVersion) -> bool:
    if sign in ("==", "!="):
        equal = version.precedence == own.precedence and own.build in (None, version.build)
        return equal is (sign == "==")
    if sign == "~=" and not _begins_with(version.numbers, own.numbers[:-1]):
        return False
    return _ORDERS[sign](version.precedence, own.precedence)


def _begins_with(numbers: tuple[int, ...], beginning: tuple[int, ...]) -> bool:
    padded = numbers + (0,) * (len(beginning) - len(numbers))
    return padded[: len(beginning)] == beginning


def _parse_semantic(text: str) -> SemanticVersion | None:
    match = _SEMANTIC.fullmatch(text)
    if match is None:
        return None
    release, prerelease, build = match.groups()
    numbers = tuple(map(int, release.split(".")))
    significant = numbers
    while significant and significant[-1] == 0:
        significant = significant[:-1]
    identifiers = () if prerelease is None else tuple(map(_identifier, prerelease.split(".")))
    return SemanticVersion(numbers, (significant, prerelease is None, identifiers), build)


def _identifier(text: str) -> Identifier:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)
