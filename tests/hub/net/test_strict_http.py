"""Requests that two readers could take differently, and callers that misbehave, byte by byte."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
import structlog

from hub.http.app import App
from hub.net.admission import Admission, ConnectionLimits
from hub.net.listener import Listener
from hub.net.peer import read_networks
from hub.telemetry import repeats
from hub.telemetry.peer_reports import MAX_PEERS, OTHERS, PeerReports
from hub.websocket.gateway import Gateway
from tests.hub.http.fakes import FakeHub
from tests.hub.websocket.fakes import FakeHub as WebsocketHub
from tests.hub.websocket.fakes import client_frame
from tests.support.waiting import until

HOST = b"Host: localhost\r\n"
AGENT = b'{"name":"a","type":"cost","host":"h","port":1}'
CHUNKED = b"POST /agents/register HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"


class Served:
    """An application behind a real listener, with a brain that records what it is asked."""

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.gateway = WebsocketHub()
        self.admission = Admission()
        self.listener = Listener(
            App(self.hub), Gateway(self.gateway).protocol, "127.0.0.1", 0, admission=self.admission
        )
        self.port = 0

    async def send(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send the parts; everything until the hub closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    _, served.port = await served.listener.start()
    yield served
    await served.listener.stop(0.1)


def statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def get(*headers: bytes, target: bytes = b"/agents", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %b %b\r\n%b\r\n" % (target, version, b"".join(each + b"\r\n" for each in headers))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(), 400),
        (get(b"Host: localhost", b"Host: localhost"), 400),
        (get(b"Host: a b"), 400),
        (get(b"Host: localhost", target=b"http://other/agents"), 400),
        (get(b"Host: localhost", target=b"/agents#x"), 400),
        (get(b"Host: localhost", b"Authorization: a", b"authorization: a"), 400),
        (get(b"Host: localhost", b"Homeport-Session-Token: a", b"Homeport-Session-Token: a"), 400),
        (get(b"Host: localhost", b"Homeport-Namespace: a", b"homeport-namespace: a"), 400),
        (get(b"Host: localhost", version=b"HTTP/0.9"), 505),
        (b"GET /agents\r\n\r\n", 505),
        (get(b"Host: localhost", version=b"HTTP/2.0"), 505),
        (get(b"Host : localhost"), 400),
        (get(b"Host: localhost", b" folded: x"), 400),
        (get(b"Host: localhost").replace(b"\r\n", b"\n"), 400),
        (get(b"Host: localhost", b"X: a\0b"), 400),
        (get(b"Host: localhost", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (get(b"Host: localhost", b"Content-Length: 1", b"Content-Length: 1") + b"a", 400),
        (get(b"Host: localhost", b"Content-Length: +1") + b"a", 400),
        (get(b"Host: localhost", b"Content-Length: 1, 1") + b"a", 400),
        (get(b"Host: localhost", b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400),
        (get(b"Host: localhost", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
        (get(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n", 400),
    ],
)
async def test_it_is_refused_and_the_connection_closed(
    served: Served, request_: bytes, status: int
) -> None:
    # A request behind it would be another one's for whoever reads the first differently.
    answer = await served.send(request_ + get(b"Host: localhost"))
    assert statuses(answer) == [status]
    assert b"connection: close" in answer
    assert served.hub.default.asked == []


async def test_a_field_behind_a_chunked_body_is_no_header(served: Served) -> None:
    for field in (b"Homeport-Namespace: blue", b"Authorization: x", b"Host: evil.example"):
        body = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(AGENT), AGENT, field)
        answer = await served.send(CHUNKED + b"Connection: close\r\n\r\n", body)
        assert statuses(answer) == [201]
    assert len(served.hub.default.asked) == 3
    assert served.hub.directories["blue"].asked == []


@pytest.mark.parametrize("target", [b"/agents%2fregister", b"/agents%2Fregister", b"/%61gents",
                                    b"/agents/%72egister", b"//agents", b"/./agents"])  # fmt: skip
async def test_a_route_is_named_in_one_way_only(served: Served, target: bytes) -> None:
    head = b"POST %b HTTP/1.1\r\n%bConnection: close\r\n" % (target, HOST)
    answer = await served.send(head + b"Content-Length: %d\r\n\r\n" % len(AGENT) + AGENT)
    assert statuses(answer)[0] in (404, 405)
    assert served.hub.default.asked == []


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"3\nabc\r\n", b"\r\n"])
async def test_a_broken_chunk_is_400_and_the_connection_closed(
    served: Served, chunk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await served.send(CHUNKED + b"\r\n", chunk + b"0\r\n\r\n" + get(b"Host: localhost"))
    assert statuses(answer) == [400]
    assert served.hub.default.asked == []
    await until(lambda: served.listener.open_connections == 0)
    # The one line that tells of the peer; it gets here once logs have been configured.
    assert {each.name for each in caplog.records} <= {"hub.peers"}


async def test_a_broken_chunk_behind_an_answer_gets_no_second_answer(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(CHUNKED.replace(b"register", b"x") + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 4")
    writer.write(b"zz\r\n")
    async with asyncio.timeout(30):
        assert b"HTTP/1.1" not in await reader.read()
    writer.close()


async def test_after_a_body_that_is_too_large_the_connection_is_closed(served: Served) -> None:
    size = served.hub.max_body_bytes + 1
    length = b"Content-Length: %d\r\n\r\n" % size
    head = CHUNKED.replace(b"Transfer-Encoding: chunked\r\n", length)
    answer = await served.send(head, b"x" * 1000)
    assert statuses(answer) == [413]
    assert b"connection: close" in answer
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    assert statuses(await served.send(CHUNKED + b"\r\n" + chunk)) == [413]


async def test_after_a_body_that_is_late_the_connection_is_closed(served: Served) -> None:
    served.admission.limits = ConnectionLimits(request_timeout=0.2)
    answer = await served.send(CHUNKED + b"\r\n")
    assert statuses(answer) == [408]
    assert b"connection: close" in answer


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "body", [b"Content-Length: 4\r\n\r\nabcd", b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_an_upgrade_with_a_body_is_400(served: Served, body: bytes) -> None:
    frame = client_frame(1, b"{}")
    answer = await served.send(b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + body + frame)
    assert statuses(answer) == [400]
    assert served.gateway.sessions == []


async def test_an_upgrade_in_http_1_0_is_a_request_without_it(served: Served) -> None:
    answer = await served.send(b"GET /ws HTTP/1.0\r\n" + HOST + UPGRADE + b"\r\n")
    assert statuses(answer) == [426]
    assert served.gateway.sessions == []


async def test_a_request_behind_an_upgrade_to_an_unknown_protocol_is_served(served: Served) -> None:
    h2c = get(b"Host: localhost", b"Connection: Upgrade", b"Upgrade: h2c", target=b"/health")
    last = get(b"Host: localhost", b"Connection: close")
    assert statuses(await served.send(h2c + last)) == [200, 200]


async def test_a_refused_page_leaves_the_connection_to_the_next_request(served: Served) -> None:
    """Behind a proxy, other callers' requests come over the same connection."""
    page = get(b"Host: localhost", b"Origin: https://evil.example")
    last = get(b"Host: localhost", b"Connection: close", target=b"/health")
    assert statuses(await served.send(page + last)) == [403, 200]


def released(served: Served) -> bool:
    """Answer what the brain was asked so far."""
    held, served.hub.default.held = served.hub.default.held, []
    for answer in held:
        answer()
    return True


@pytest.mark.parametrize("half_close", [False, True])
async def test_a_caller_that_goes_leaves_no_traceback(
    served: Served, half_close: bool, caplog: pytest.LogCaptureFixture
) -> None:
    served.hub.default.hold = True
    one = CHUNKED.replace(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(AGENT))
    with structlog.testing.capture_logs() as logged:
        for sent in (one + b"\r\n" + AGENT, one + b"\r\n" + AGENT[:5], (one + b"\r\n" + AGENT) * 3):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent + CHUNKED + b"\r\n")
            await writer.drain()
            if half_close:
                writer.write_eof()
            else:
                writer.transport.abort()
            await until(lambda: released(served) and served.listener.open_connections == 0)
            await until(lambda: released(served) and not served.listener._state.tasks)
            writer.close()
    assert [each for each in logged if "exc_info" in each] == []
    assert caplog.text == ""


async def test_a_peer_that_sends_garbage_has_one_log_line_with_its_address(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as logged, caplog.at_level(logging.INFO):
        for _ in range(50):
            await served.send(b"garbage\r\n\r\n")
            await served.send(get(b"Host: evil.example", b"Connection: close"))
    lines = [each for each in logged if each["log_level"] != "debug"]
    assert [(each["event"], each["peer"]) for each in lines] == [("request refused", "127.0.0.1")]
    assert caplog.text == ""


PROXIED = (b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https", b"Connection: close")


@pytest.mark.parametrize(
    ("trusted", "peer"), [("127.0.0.1", "192.0.2.7"), ("10.0.0.1", "127.0.0.1")]
)
async def test_a_trusted_proxy_says_who_a_peer_is_and_that_it_added_tls(
    served: Served, trusted: str, peer: str
) -> None:
    served.admission.limits = ConnectionLimits(trusted_proxies=read_networks([trusted]))
    page = get(b"Host: localhost", b"Origin: https://localhost", *PROXIED)
    assert statuses(await served.send(page)) == [200 if peer == "192.0.2.7" else 403]
    with structlog.testing.capture_logs() as logged:
        served.listener._reports._repeats._since.clear()  # as after some time
        await served.send(get(b"Host: evil.example", *PROXIED))
    assert {each["peer"] for each in logged if each["log_level"] == "warning"} == {peer}


class Timers:
    """A loop whose timers are called by hand."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_later(self, _seconds: float, call: Callable[..., None], *arguments: object) -> None:
        self.due.append(lambda: call(*arguments))

    def pass_ten_seconds(self) -> None:
        due, self.due = self.due, []
        for each in due:
            each()


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(repeats.asyncio, "get_running_loop", lambda: timers)
    return timers


def peers_and_counts(logged: Iterable[structlog.typing.EventDict]) -> list[tuple[str, int]]:
    return [(each["peer"], each.get("count", 1)) for each in logged]


def test_what_a_peer_did_since_its_line_is_counted_every_ten_seconds(timers: Timers) -> None:
    statuses: list[int] = []
    reports = PeerReports(lambda _peer, status: statuses.append(status))
    with structlog.testing.capture_logs() as logged:
        for _ in range(1000):
            reports.refused("192.0.2.1", 400, "not HTTP")
        reports.refused("192.0.2.2", 421, "no such host")
        timers.pass_ten_seconds()
        timers.pass_ten_seconds()
        reports.refused("192.0.2.1", 400, "not HTTP")
    assert peers_and_counts(logged) == [
        ("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 999), ("192.0.2.1", 1),
    ]  # fmt: skip
    assert statuses.count(400) == 1001


def test_beyond_a_number_of_peers_they_share_a_line(timers: Timers) -> None:
    reports = PeerReports()
    with structlog.testing.capture_logs() as logged:
        for number in range(10 * MAX_PEERS):
            reports.refused(f"192.0.2.{number}", 400, "not HTTP")
        assert len(logged) == MAX_PEERS + 1
        timers.pass_ten_seconds()
    assert peers_and_counts(logged)[-1] == (OTHERS, 9 * MAX_PEERS - 1)
    assert len(reports._repeats._since) == 1
