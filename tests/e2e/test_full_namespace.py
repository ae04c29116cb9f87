"""A namespace that is full: what is refused, in which words, and what goes on."""

from __future__ import annotations

import platform
import subprocess
import time

from tests.e2e.conftest import StartHub
from tests.support.hub_process import Hub, Place

BIG = {"k": "x" * 14_000}
BODY = {"name": "h", "type": "cost", "host": "h.example", "port": 1}


def assert_refused(place: Place, setting: str, metadata: dict[str, str]) -> None:
    response = place.post("/agents/register", json={**BODY, "metadata": metadata})
    assert response.status_code == 429, response.text
    assert setting in response.json()["error"]
    assert response.headers["Retry-After"] == "1"
    wire = place.connect()
    refusal = wire.ask("register", agent={"name": "w", "type": "cost", "metadata": metadata})
    assert (refusal["code"], refusal["retryable"]) == ("rate_limited", True)
    assert setting in refusal["message"]
    metrics = place.get("/metrics").text
    assert f'homeport_limits_applied_total{{setting="{setting}"}} 2.0' in metrics


def test_one_agent_too_many_is_refused_until_one_leaves(start_hub: StartHub) -> None:
    hub = start_hub("--redis", "memory://", "--max-agents", "4")
    place = Place(hub)
    first, *_ = [place.register() for _ in range(4)]
    assert_refused(place, "max_agents", {})
    assert place.post(f"/agents/{first}/heartbeat", json={}).status_code == 200
    assert place.post(f"/agents/{first}/unregister").status_code == 200
    place.register()
    other = Place(hub, "another")
    other.register()
    other.end()
    place.end()


def test_records_beyond_the_bytes_of_a_namespace_are_refused(start_hub: StartHub) -> None:
    place = Place(start_hub("--redis", "memory://", "--max-agent-bytes", "65536"))
    big = [place.register(metadata=BIG) for _ in range(4)]
    assert_refused(place, "max_agent_bytes", BIG)
    beat = f"/agents/{big[0]}/heartbeat"
    assert place.post(beat, json={"status": "degraded"}).status_code == 200
    small = place.register()
    grown = place.post(f"/agents/{small}/heartbeat", json={"metadata": BIG})
    assert grown.status_code == 429
    assert "max_agent_bytes" in grown.json()["error"]
    assert place.post(beat, json={"metadata": {"k": None}}).status_code == 200
    assert place.post(f"/agents/{small}/heartbeat", json={"metadata": BIG}).status_code == 200
    place.end()


def resident(hub: Hub) -> int:
    """Bytes of memory that the hub's process has."""
    assert hub.process is not None
    kilobytes = subprocess.check_output(["ps", "-o", "rss=", "-p", str(hub.process.pid)])
    return int(kilobytes) * 1024


def test_agents_that_have_left_take_no_memory(start_hub: StartHub) -> None:
    hub = start_hub("--max-log-bytes", "1000000")
    place = Place(hub)
    place.register(metadata=BIG)
    before = resident(hub)
    capabilities = [f"{number:0120}" for number in range(256)]
    ids = [place.register(metadata=BIG, capabilities=capabilities) for _ in range(700)]
    grown = resident(hub) - before
    assert grown > 25_000_000
    for each in ids:
        place.post(f"/agents/{each}/unregister")
    until = time.monotonic() + 10
    # Only some C libraries can give memory back.
    share = 0.5 if platform.libc_ver()[0] == "glibc" else 1.2
    while (left := resident(hub) - before) > share * grown:
        assert time.monotonic() < until, f"{left:,} bytes of {grown:,} are left"
        time.sleep(0.1)
    place.end()
