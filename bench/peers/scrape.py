"""The metrics of a hub."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from bench.errors import BenchError
from bench.peers.http_client import HttpCaller

LOOP_LAG = "homeport_event_loop_lag_seconds"


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def total(self, name: str) -> float:
        """The sum of the samples of this name; raises BenchError when there is none."""
        values = [sample.value for sample in self._samples if sample.name == name]
        if not values:
            raise BenchError(f"the hub has no metric {name}")
        return sum(values)

    def labelled(self, name: str, **labels: str) -> float:
        """The sample of this name with these labels; 0 when there is none yet."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def quantile(self, name: str, share: float) -> float:
        """An upper bound of this quantile of a histogram."""
        wanted = share * self.total(f"{name}_count")
        bounds = [
            (float(sample.labels["le"]), sample.value)
            for sample in self._samples
            if sample.name == f"{name}_bucket"
        ]
        return min((bound for bound, count in bounds if count >= wanted), default=math.inf)


async def scrape(url: str) -> Scrape:
    """Get the metrics of the hub at this URL."""
    async with HttpCaller(url) as caller:
        response = await caller.call("GET", "/metrics")
    if response.status != 200:
        raise BenchError(f"GET /metrics: {response.status}")
    return Scrape(response.body.decode())
