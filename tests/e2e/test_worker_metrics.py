"""`/metrics` under `--workers` is that of all workers, whichever answers, also when one dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.test_workers import TRIES, Crew, start_crew
from tests.support.waiting import wait_until

__all__ = ["start_crew"]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="workers share a port on Linux only"
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def session_at(crew: Crew, worker: str) -> requests.Session:
    """A kept connection over HTTP that the kernel has given to this worker."""
    for _ in range(TRIES):
        session = requests.Session()
        session.trust_env = False
        if session.get(crew.hub.url, timeout=10).json()["hub"] == worker:
            return session
        session.close()
    raise AssertionError(f"{TRIES} connections, and none got to {worker}")


def scrape(crew: Crew, session: requests.Session) -> Series:
    answer = session.get(f"{crew.hub.url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


def registered(series: Series) -> float:
    return value(series, "homeport_events_total", namespace="default", kind="registered")


def counters(series: Series) -> dict[Any, float]:
    endings = ("_total", "_count", "_sum", "_bucket")
    return {key: figure for key, figure in series.items() if key[0].endswith(endings)}


def test_whichever_worker_answers_all_are_added_up(start_crew: Callable[..., Crew]) -> None:
    crew = start_crew()
    names = [f"{crew.hub_id}-{number}" for number in (1, 2)]
    wires = [crew.connect(name) for name in (names[0], names[0], names[1])]
    for number, wire in enumerate(wires):
        wire.register(f"a{number}")
    sessions = [session_at(crew, name) for name in names]
    for session in sessions:
        series = wait_until(
            lambda session=session: (
                (read := scrape(crew, session))
                and value(read, "homeport_agents", namespace="default", status="healthy") == 3
                and read
            )
        )
        assert registered(series) == 3
        assert value(series, "homeport_sessions", namespace="default") == 3
        assert value(series, "homeport_hubs", namespace="default") == 2
        assert value(series, "homeport_ready") == 1
        for name in names:
            assert value(series, "homeport_worker_up", worker=name) == 1


def test_no_counter_goes_back_when_a_worker_is_killed(start_crew: Callable[..., Crew]) -> None:
    crew = start_crew()
    one, two = (f"{crew.hub_id}-{number}" for number in (1, 2))
    crew.connect(one).register("a")
    crew.connect(two).register("b")
    session = session_at(crew, two)
    before = scrape(crew, session)
    assert registered(before) == 2
    for round_ in range(2):
        os.kill(crew.workers()[one], signal.SIGKILL)
        went = wait_until(
            lambda: (
                not value(scrape(crew, session), "homeport_worker_up", worker=one)
                or crew.hub.log().count("worker started again") > round_  # noqa: B023
            )
        )
        assert went
        while crew.hub.log().count("worker started again") <= round_:
            series = scrape(crew, session)
            assert not [k for k, v in counters(before).items() if counters(series).get(k, 0) < v]
            before = series
        wait_until(lambda: value(scrape(crew, session), "homeport_worker_up", worker=one) == 1, 30)
        after = scrape(crew, session)
        assert not [k for k, v in counters(before).items() if counters(after).get(k, 0) < v]
        before = after
    crew.connect(one).register("c")
    assert registered(scrape(crew, session)) == 3


def test_what_a_worker_counted_until_its_graceful_end_is_kept(
    start_crew: Callable[..., Crew],
) -> None:
    crew = start_crew()
    one, two = (f"{crew.hub_id}-{number}" for number in (1, 2))
    session = session_at(crew, two)
    crew.connect(one).register("a")  # nobody scrapes after this
    os.kill(crew.workers()[one], signal.SIGTERM)
    wait_until(lambda: "worker started again" in crew.hub.log(), 30)
    assert registered(scrape(crew, session)) == 1


def test_a_worker_that_hangs_holds_up_a_scrape_for_a_second_and_keeps_its_counters(
    start_crew: Callable[..., Crew],
) -> None:
    crew = start_crew()
    one, two = (f"{crew.hub_id}-{number}" for number in (1, 2))
    crew.connect(one).register("a")
    session = session_at(crew, two)
    before = scrape(crew, session)
    stopped = crew.workers()[one]
    os.kill(stopped, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for _ in range(3):
            series = scrape(crew, session)
            assert value(series, "homeport_worker_up", worker=one) == 0
            assert value(series, "homeport_worker_up", worker=two) == 1
            assert registered(series) == 1
            assert not [k for k, v in counters(before).items() if counters(series).get(k, 0) < v]
        assert time.monotonic() - begun < 9, "a second each, and a slow machine"
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: value(scrape(crew, session), "homeport_worker_up", worker=one) == 1, 30)


def test_while_the_first_process_hangs_a_scrape_fails_in_plain_words(
    start_crew: Callable[..., Crew],
) -> None:
    crew = start_crew()
    session = session_at(crew, f"{crew.hub_id}-2")
    crew.hub.suspend()
    try:
        answer = session.get(f"{crew.hub.url}/metrics", timeout=20)
    finally:
        crew.hub.wake()
    assert answer.status_code == 503
    assert answer.json()["error"] == "the figures of all workers could not be added up in time"
    wait_until(lambda: session.get(f"{crew.hub.url}/metrics", timeout=20).status_code == 200)
