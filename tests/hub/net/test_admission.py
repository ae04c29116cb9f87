"""Which connections are served, and for how long one may take to make its request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import hub.net.admission as admission_module
from hub.http.app import App
from hub.net.admission import Admission, ConnectionLimits
from hub.net.listener import Listener
from hub.net.peer import read_networks
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics
from hub.websocket.gateway import Gateway
from tests.hub.http.fakes import FakeHub as FakeHttpHub
from tests.hub.websocket.fakes import FakeHub, RunningHub, answer_ok
from tests.support.waiting import until

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
LONG = 600.0


class Port:
    """A listener with limits, and what it has counted."""

    def __init__(self, limits: ConnectionLimits, app=answer_ok) -> None:
        self._metrics = Metrics("hub-1", "9.9.9")
        self.admission = Admission(limits, applied=LimitReports(self._metrics).applied)
        self.listener = Listener(
            app, Gateway(FakeHub()).protocol, "127.0.0.1", 0, admission=self.admission
        )
        self.number = 0

    def applied(self, setting: str) -> int:
        """How often the limit was applied."""
        for line in self._metrics.text().decode().splitlines():
            if line.startswith(f'homeport_limits_applied_total{{setting="{setting}"}}'):
                return int(float(line.split()[-1]))
        return 0

    async def open(self, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent so much; it has been accepted."""
        before = self.listener.open_connections
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        writer.write(data)
        await until(lambda: self.listener.open_connections > before)
        return reader, writer

    async def ask(self, data: bytes) -> bytes:
        """Everything that is answered, until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        writer.write(data)
        return await rest(reader, writer)


async def rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the connection is closed or reset."""
    try:
        await rest(reader, writer)
    except ConnectionError:
        pass


@asynccontextmanager
async def serving(app=answer_ok, **limits) -> AsyncIterator[Port]:
    port = Port(ConnectionLimits(**limits), app)
    _, port.number = await port.listener.start()
    try:
        yield port
    finally:
        await port.listener.stop(0.1)


def error_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


# --- time ---------------------------------------------------------------------------------------


async def test_a_connection_that_sends_nothing_is_closed_after_the_handshake_timeout():
    async with serving(handshake_timeout=0.1, request_timeout=LONG) as port:
        assert await port.ask(b"") == b""
        assert port.applied("handshake_timeout") == 1


async def test_half_a_handshake_is_answered_408_after_the_handshake_timeout():
    async with serving(handshake_timeout=0.1, request_timeout=LONG) as port:
        assert error_of(await port.ask(UPGRADE)) == (408, "the request did not arrive in time")
        assert error_of(await port.ask(b"G"))[0] == 408
        assert port.applied("handshake_timeout") == 2


async def test_half_a_request_head_is_answered_408_after_the_request_timeout():
    async with serving(handshake_timeout=LONG, request_timeout=0.1) as port:
        assert error_of(await port.ask(GET[:-4])) == (408, "the request did not arrive in time")
        assert port.applied("request_timeout") == 1


async def test_a_request_head_may_take_longer_than_a_handshake():
    async with serving(handshake_timeout=0.05, request_timeout=LONG) as port:
        reader, writer = await port.open(CLOSING[:-2])
        await asyncio.sleep(0.2)
        writer.write(CLOSING[-2:])
        assert (await rest(reader, writer)).startswith(b"HTTP/1.1 200")


async def test_bytes_that_trickle_in_extend_nothing():
    async with serving(request_timeout=0.3) as port:
        reader, writer = await port.open(GET[:-4] + b"\r\nX: ")

        async def trickle() -> None:
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        async with asyncio.timeout(20):
            assert error_of(await reader.readuntil(b"}"))[0] == 408
        trickling.cancel()
        writer.close()


async def test_a_later_request_has_the_request_timeout_from_its_first_byte():
    async with serving(handshake_timeout=0.05, request_timeout=0.3) as port:
        reader, writer = await port.open(GET)
        await reader.readuntil(b"/a")
        await asyncio.sleep(0.5)  # idle, which is no request
        writer.write(GET[:5])
        assert error_of(await rest(reader, writer))[0] == 408


async def test_a_body_that_trickles_in_is_answered_408_after_the_request_timeout():
    hub = FakeHttpHub()
    async with serving(App(hub), request_timeout=0.3) as port:
        head = b"POST /agents/register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
        answer = await port.ask(head)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'{"error":"the body did not come in time"}' in answer
        assert hub.default.asked == []
        assert b'homeport_limits_applied_total{setting="request_timeout"} 1.0' in hub.metrics.text()


async def test_a_body_that_nobody_reads_ends_with_its_connection():
    async with serving(request_timeout=0.1) as port:
        reader, writer = await port.open(GET[:-2] + b"Content-Length: 100\r\n\r\n")
        assert (await rest(reader, writer)).startswith(b"HTTP/1.1 200")


async def test_a_websocket_outlives_both_timeouts(hub: RunningHub):
    hub.admission.limits = ConnectionLimits(handshake_timeout=0.1, request_timeout=0.1)
    async with connect(hub.url) as client:
        await asyncio.sleep(0.3)
        await client.send("x")
        assert await client.recv() == "x"


# --- numbers ------------------------------------------------------------------------------------


async def test_beyond_max_connections_they_are_answered_503_and_one_warning_is_logged():
    async with serving(max_connections=2) as port:
        held = [await port.open(GET) for _ in range(2)]
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                status, error = error_of(await port.ask(GET))
                assert (status, error) == (
                    503,
                    "too many connections (max_connections); try again",
                )
        assert [(entry["limit"], entry["address"]) for entry in logged] == [(2, "127.0.0.1")]
        assert port.applied("max_connections") == 3
        held[0][1].close()
        await until(lambda: port.listener.open_connections == 1)
        assert (await port.ask(CLOSING)).startswith(b"HTTP/1.1 200")
        held[1][1].close()


async def test_a_full_hub_makes_room_by_closing_those_who_ask_for_nothing():
    async with serving(max_connections=8, handshake_timeout=LONG) as port:
        idle = [await port.open() for _ in range(8)]

        async def served() -> bool:
            return (await port.ask(CLOSING)).startswith(b"HTTP/1.1 200")

        async with asyncio.timeout(20):
            while not await served():  # noqa: ASYNC110 - it is the caller's own retry
                await asyncio.sleep(0.05)
        assert port.applied("max_handshakes") >= 1
        for _, writer in idle:
            writer.close()


async def test_a_flood_beyond_the_limit_is_cut_off_and_leaves_files_free():
    async with serving(max_connections=1, handshake_timeout=LONG) as port:
        _, held = await port.open(GET)
        flood = [await asyncio.open_connection("127.0.0.1", port.number) for _ in range(100)]
        await until(lambda: 1 < port.listener.open_connections <= 1 + admission_module.REFUSALS)
        for reader, writer in flood[admission_module.REFUSALS :]:
            await ended(reader, writer)
        assert port.listener.open_connections <= 1 + admission_module.REFUSALS
        for _, writer in flood[: admission_module.REFUSALS]:
            writer.close()
        held.close()


async def test_of_too_many_handshakes_the_oldest_are_closed_and_who_asks_is_served():
    async with serving(max_handshakes=5, handshake_timeout=LONG) as port:
        idle = [await port.open() for _ in range(12)]
        assert (await port.ask(CLOSING)).startswith(b"HTTP/1.1 200")
        for reader, writer in idle[:7]:
            answer = error_of(await rest(reader, writer))
            assert answer == (
                503,
                "too many connections without a request (max_handshakes); try again",
            )
        await until(lambda: port.listener.open_connections == 5)
        assert port.admission.handshakes == 5
        assert port.applied("max_handshakes") == 7
        for _, writer in idle[7:]:
            writer.close()
        await until(lambda: port.admission.handshakes == 0)


async def test_a_fleet_that_connects_at_once_loses_nobody_to_max_handshakes():
    async with serving(max_handshakes=1, handshake_timeout=LONG) as port:
        answers = await asyncio.gather(*(port.ask(CLOSING) for _ in range(200)))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


async def test_beyond_max_connections_per_address_they_are_answered_429():
    async with serving(max_connections_per_address=2) as port:
        held = [await port.open(GET) for _ in range(2)]
        status, error = error_of(await port.ask(GET))
        assert (status, error) == (
            429,
            "too many connections of this address (max_connections_per_address); try again",
        )
        assert port.applied("max_connections_per_address") == 1
        held[0][1].close()
        await until(lambda: port.listener.open_connections == 1)
        assert (await port.ask(CLOSING)).startswith(b"HTTP/1.1 200")
        held[1][1].close()


async def test_websockets_count_for_their_address_until_they_end(hub: RunningHub):
    hub.admission.limits = ConnectionLimits(max_connections_per_address=1)
    async with connect(hub.url):
        with pytest.raises(InvalidStatus) as refused:
            await connect(hub.url)
        assert refused.value.response.status_code == 429
    await until(lambda: hub.listener.open_connections == 0)
    async with connect(hub.url):
        pass


async def test_behind_a_trusted_proxy_each_caller_counts_for_itself(hub: RunningHub):
    hub.admission.limits = ConnectionLimits(
        max_connections_per_address=1, trusted_proxies=read_networks(["127.0.0.0/8"])
    )

    def caller(forwarded: str) -> connect:
        return connect(hub.url, additional_headers={"X-Forwarded-For": forwarded})

    async with caller("192.0.2.1"), caller("192.0.2.2"):
        for forwarded in ("192.0.2.1", "198.51.100.7, 192.0.2.2"):  # the first says the caller
            with pytest.raises(InvalidStatus) as refused:
                await caller(forwarded)
            assert refused.value.response.status_code == 429
        async with caller("192.0.2.3"):
            pass
    await until(lambda: hub.listener.open_connections == 0)
    assert hub.admission._addresses == {}


def test_an_address_that_has_left_leaves_nothing_in_memory():
    admission = Admission(ConnectionLimits(max_connections_per_address=1))
    for number in range(1000):
        address = f"10.0.{number // 250}.{number % 250}"
        assert admission.enter(address)
        assert not admission.enter(address)
        admission.leave(address)
    assert admission._addresses == {}
