"""Results that were never measured."""

from __future__ import annotations

from bench.results.document import Result
from bench.results.report import Report


def result(*reports: Report) -> Result:
    return Result(
        date="2026-01-02T03:04:05Z",
        commit="0123456789abcdef",
        homeport="0.1.0",
        python="3.11.7",
        platform="Linux",
        processor="a processor",
        cores=2,
        versions={"websockets": "15.0", "uvloop": None},
        reports=list(reports),
    )


def report(own: list[float], *, must: float | None = 1.3, higher: bool = True) -> Report:
    """One goal with this many rounds, always against 100 a second; figures, checks and curves."""
    made = Report(name="sample", title="a sample", options={"rounds": len(own), "url": ""})
    made.goal(
        "beats",
        own,
        [100.0] * len(own),
        unit="/s",
        baseline="bare echo",
        must=must,
        aim=1.6 if higher else 0.8,
        higher=higher,
    )
    made.figure("agents", 1000)
    made.spread("until answered", [0.001, 0.002, 0.003])
    made.latencies("until answered", [0.001, 0.002, 0.003])
    made.growth("beats", "agents", "/s", [(10, 100.0), (1000, 99.0)])
    made.check("every answer was right", True)
    return made
