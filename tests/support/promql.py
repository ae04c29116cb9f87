"""As much of PromQL as the documented alerts use, over metrics that were scraped.

`rate` and `increase` look at the samples within the range and mind resets, as Prometheus does: a
series that was not there before shows no increase by appearing. They do not extrapolate.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)(?![a-z])|(?P<name>[a-z_][a-z0-9_]*)|(?P<text>\"[^\"]*\")"
    r"|(?P<range>\[(?P<count>\d+)(?P<unit>[smh])\])|(?P<sign>==|<=|>=|[<>/(){},=]))"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


class Token(NamedTuple):
    """A part of an expression: its kind and its text."""

    kind: str
    text: str


class Scrapes:
    """The scrapes of one target, oldest first."""

    def __init__(self) -> None:
        self._scrapes: list[tuple[float, dict[str, Vector]]] = []

    def add(self, text: str, at: float | None = None) -> None:
        """Take in one answer of `/metrics`."""
        series: dict[str, Vector] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = frozenset(sample.labels.items())
                series.setdefault(sample.name, {})[labels] = sample.value
        self._scrapes.append((time.monotonic() if at is None else at, series))

    def value(self, expression: str) -> Vector:
        """What the expression is now; an alert fires if anything is left."""
        parser = _Parser(expression, self)
        result = parser.comparison()
        parser.end()
        assert isinstance(result, dict), f"not a vector: {expression}"
        return result

    def newest(self, name: str) -> Vector:
        """The series of the last scrape."""
        return self._scrapes[-1][1].get(name, {})

    def within(self, name: str, seconds: float) -> dict[Labels, list[tuple[float, float]]]:
        """Each series' samples of the last seconds."""
        begun = self._scrapes[-1][0] - seconds
        found: dict[Labels, list[tuple[float, float]]] = {}
        for at, series in self._scrapes:
            if at >= begun:
                for labels, value in series.get(name, {}).items():
                    found.setdefault(labels, []).append((at, value))
        return found


class _Parser:
    def __init__(self, expression: str, scrapes: Scrapes) -> None:
        self._expression = expression
        self._scrapes = scrapes
        self._tokens: list[Token] = []
        at = 0
        while at < len(expression.rstrip()):
            match = _TOKEN.match(expression, at)
            assert match is not None, f"cannot read {expression[at:]!r} of {expression!r}"
            assert match.lastgroup is not None
            kind = "range" if match["range"] else match.lastgroup
            self._tokens.append(Token(kind, match[kind]))
            at = match.end()

    def end(self) -> None:
        assert not self._tokens, f"{self._tokens} is too much in {self._expression!r}"

    def _take(self, text: str | None = None, kind: str | None = None) -> str:
        assert self._tokens, f"{self._expression!r} is cut off"
        token = self._tokens.pop(0)
        assert text in (None, token.text), f"{token} for {text!r} in {self._expression!r}"
        assert kind in (None, token.kind), f"{token} for {kind!r} in {self._expression!r}"
        return token.text

    def _next(self) -> str:
        return self._tokens[0].text if self._tokens else ""

    def comparison(self) -> Vector | float:
        left = self._quotient()
        if self._next() not in _COMPARE:
            return left
        compare, right = _COMPARE[self._take()], self._quotient()
        assert isinstance(left, dict)
        assert isinstance(right, float)
        return {labels: value for labels, value in left.items() if compare(value, right)}

    def _quotient(self) -> Vector | float:
        left = self._primary()
        while self._next() == "/":
            self._take()
            right = self._primary()
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            left = {each: left[each] / right[each] for each in left if each in right}
        return left

    def _primary(self) -> Vector | float:
        if self._tokens[0].kind == "number":
            return float(self._take())
        name = self._take(kind="name")
        match name:
            case "rate" | "increase":
                return self._growth(per_second=name == "rate")
            case "sum":
                self._take("(")
                vector = self._quotient()
                self._take(")")
                assert isinstance(vector, dict)
                return {frozenset(): sum(vector.values())} if vector else {}
            case "histogram_quantile":
                self._take("(")
                share = float(self._take(kind="number"))
                self._take(",")
                vector = self._quotient()
                self._take(")")
                assert isinstance(vector, dict)
                return _quantile(share, vector)
            case _:
                return self._chosen(self._scrapes.newest(name), self._wanted())

    def _growth(self, *, per_second: bool) -> Vector:
        self._take("(")
        name, wanted = self._take(kind="name"), self._wanted()
        span = re.fullmatch(r"\[(\d+)([smh])\]", self._take(kind="range"))
        assert span is not None
        self._take(")")
        seconds = float(int(span[1]) * _SECONDS[span[2]])
        grown: Vector = {}
        for labels, samples in self._scrapes.within(name, seconds).items():
            if len(samples) >= 2 and wanted <= labels:
                pairs = pairwise(samples)
                more = sum(b - a if b >= a else b for (_, a), (_, b) in pairs)
                took = samples[-1][0] - samples[0][0]
                grown[labels] = more / took if per_second else more
        return grown

    def _wanted(self) -> Labels:
        if self._next() != "{":
            return frozenset()
        self._take("{")
        label = self._take(kind="name")
        self._take("=")
        value = self._take(kind="text").strip('"')
        self._take("}")
        return frozenset({(label, value)})

    @staticmethod
    def _chosen(vector: Vector, wanted: Labels) -> Vector:
        return {labels: value for labels, value in vector.items() if wanted <= labels}


def _quantile(share: float, buckets: Vector) -> Vector:
    """The quantile of each histogram; within a bucket its values are taken to be spread evenly."""
    histograms: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        rest = frozenset(each for each in labels if each[0] != "le")
        histograms.setdefault(rest, []).append((bound, count))
    found: Vector = {}
    for labels, counts in histograms.items():
        counts.sort()
        total = counts[-1][1]
        if not total:
            continue
        below_bound, below = 0.0, 0.0
        for bound, count in counts:
            if count >= share * total:
                if bound == float("inf"):
                    found[labels] = below_bound
                else:
                    inside = (share * total - below) / (count - below)
                    found[labels] = below_bound + (bound - below_bound) * inside
                break
            below_bound, below = bound, count
    return found
