"""TLS on the one port: both loops, whole answers, half-open handshakes, and new certificates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.net.admission import ConnectionLimits
from hub.net.certificate import ServerCertificate, TlsError
from hub.net.tls_listener import STARTS
from tests.hub.websocket.fakes import RunningHub
from tests.support.certificate_authority import Authority, Pair
from tests.support.waiting import until

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BIG = b"x" * 6_000_000


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue()


async def answer_big(scope, receive, send) -> None:
    headers = [(b"content-length", str(len(BIG)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BIG})


@contextlib.asynccontextmanager
async def serving(certificate: ServerCertificate, **options) -> AsyncIterator[RunningHub]:
    hub = RunningHub(certificate=certificate, **options)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.listener.stop(1.0)


def of(pair: Pair, client_ca: Path | None = None) -> ServerCertificate:
    return ServerCertificate(str(pair.cert), str(pair.key), str(client_ca or ""))


async def ask(port: int, context: ssl.SSLContext, request: bytes = GET) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(request)
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


async def shown(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection sees."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_http_and_websockets_speak_tls_on_one_port(authority: Authority, pair: Pair):
    context = authority.trusting()
    async with serving(of(pair)) as hub:
        assert (await ask(hub.port, context)).endswith(b"\r\n\r\n/a")
        url = f"wss://127.0.0.1:{hub.port}/ws"
        async with connect(url, ssl=context) as client:
            await client.send("x")
            assert await client.recv() == "x"
        await until(lambda: hub.close_codes == [1000])


async def test_a_page_is_the_hubs_own_under_https_only(authority: Authority, pair: Pair):
    context = authority.trusting()
    async with serving(of(pair)) as hub:
        for scheme, status in (("https", b"200"), ("http", b"403")):
            origin = f"Origin: {scheme}://localhost:{hub.port}\r\n\r\n".encode()
            host = f"Host: localhost:{hub.port}\r\n".encode()
            page = GET[:-2].replace(b"Host: localhost\r\n", host) + origin
            assert (await ask(hub.port, context, page)).startswith(b"HTTP/1.1 " + status)
        assert (await ask(hub.port, context, b"garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority, pair: Pair):
    context = authority.trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(of(pair)) as hub:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(hub.port, context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await ask(hub.port, context)


@pytest.mark.parametrize("first", [GET, b"\x16\x03\x01", b"", bytes(range(64))])
async def test_what_is_no_tls_is_closed_without_an_error_in_the_log(
    pair: Pair, first: bytes, caplog: pytest.LogCaptureFixture
):
    async with serving(of(pair)) as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(first)
        with contextlib.suppress(OSError):
            writer.write_eof()
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
        await until(lambda: hub.admission.handshakes == 0)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_a_handshake_ends_after_its_timeout(pair: Pair, caplog: pytest.LogCaptureFixture):
    async with serving(of(pair)) as hub:
        hub.admission.limits = ConnectionLimits(handshake_timeout=0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        await until(lambda: hub.admission.handshakes == 0)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_the_oldest_half_open_handshakes_make_room_for_new_connections(
    authority: Authority, pair: Pair
):
    async with serving(of(pair)) as hub:
        hub.admission.limits = ConnectionLimits(max_handshakes=3)
        half_open = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(20)]
        assert await ask(hub.port, authority.trusting())
        await until(lambda: hub.admission.handshakes <= 3)
        assert b'limits_applied_total{setting="max_handshakes"}' in hub.metrics.text()
        oldest, _ = half_open[0]
        with contextlib.suppress(ConnectionError):
            assert await oldest.read() == b""
        for _, writer in half_open:
            writer.transport.abort()
        await until(lambda: hub.admission.handshakes == 0)


async def test_a_request_without_tls_is_told_so(pair: Pair):
    async with serving(of(pair)) as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(GET)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"this port speaks TLS: use https or wss" in answer
        writer.close()


async def test_silent_connections_have_no_tls_yet_and_are_closed_in_time(
    authority: Authority, pair: Pair
):
    made = []

    class Counting(ServerCertificate):
        @property
        def context(self) -> ssl.SSLContext:
            made.append(1)
            return self._context

        @context.setter
        def context(self, context: ssl.SSLContext) -> None:
            self._context = context

    async with serving(Counting(str(pair.cert), str(pair.key))) as hub:
        silent = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(50)]
        await until(lambda: hub.admission.handshakes == 50)
        assert await ask(hub.port, authority.trusting())
        assert len(made) == 1
        for _, writer in silent:
            writer.close()
        await until(lambda: hub.admission.handshakes == 0)


async def test_handshakes_that_come_at_once_begin_a_few_in_a_turn(authority: Authority, pair: Pair):
    turn, begun = 0, Counter[int]()

    class Noting(ServerCertificate):
        @property
        def context(self) -> ssl.SSLContext:
            begun[turn] += 1
            return self._context

        @context.setter
        def context(self, context: ssl.SSLContext) -> None:
            self._context = context

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    context = authority.trusting()
    async with serving(Noting(str(pair.cert), str(pair.key))) as hub:
        # All have said hello before the hub looks: their bytes are in the kernel by then.
        hello = client_hello(context)
        sockets = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(100)]
        for each in sockets:
            each.sendall(hello)
        counting = asyncio.create_task(count_turns())
        await until(lambda: begun.total() == 100)
        assert max(begun.values()) <= STARTS
        counting.cancel()
        for each in sockets:
            each.close()
        await until(lambda: hub.admission.handshakes == 0)


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first bytes that a client sends."""
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


async def test_a_long_answer_arrives_whole_before_the_end(authority: Authority, pair: Pair):
    async with serving(of(pair), app=answer_big) as hub:
        head, _, body = (await ask(hub.port, authority.trusting())).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert body == BIG


async def test_a_slow_reader_gets_every_message_in_order_and_then_the_close_frame(
    authority: Authority, pair: Pair
):
    context = authority.trusting()
    async with serving(of(pair)) as hub:
        url = f"wss://127.0.0.1:{hub.port}/ws"
        async with connect(url, ssl=context, max_queue=1, max_size=None) as client:
            await client.send("-")
            (session,) = await until(lambda: hub.sessions)
            session.link.send(b"")
            for number in range(100):
                session.link.send(b"%06d" % number + b"x" * 60_000)
            await until(lambda: "blocked" in session.calls)
            assert session.link.unsent > 1_000_000, "what is not read must count"
            session.link.close(1001, "done")
            received = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    message = await client.recv()
                    received.append(message)
                    if len(received) % 10 == 0:
                        await asyncio.sleep(0.01)
            numbers = [int(each[:6]) for each in received if each[:6].isdecimal()]
            assert numbers == list(range(100))
            assert client.close_code == 1001
        await until(lambda: not hub.connections)


async def test_a_peer_that_leaves_too_much_unread_is_closed_with_4413(
    authority: Authority, pair: Pair
):
    async with serving(of(pair)) as hub:
        url = f"wss://127.0.0.1:{hub.port}/ws"
        async with connect(url, ssl=authority.trusting(), max_queue=1, max_size=None) as client:
            await client.send("-")
            (session,) = await until(lambda: hub.sessions)
            for _ in range(400):
                session.link.send(b"x" * 60_000)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.recv()
            assert client.close_code == 4413
        await until(lambda: hub.close_codes == [4413])


async def test_a_replaced_certificate_is_for_new_connections_and_drops_nobody(
    authority: Authority, pair: Pair
):
    context, certificate = authority.trusting(), of(pair)
    async with serving(certificate) as hub:
        url = f"wss://127.0.0.1:{hub.port}/ws"
        async with connect(url, ssl=context) as before:
            first = await shown(hub.port, context)
            authority.issue(into=pair)
            certificate.look()
            assert await shown(hub.port, context) != first
            await before.send("still here")
            assert await before.recv() == "still here"


def in_two_steps(authority: Authority, pair: Pair) -> Callable[[], None]:
    """Replaces the certificate now, and its key when called."""
    other = authority.issue()
    pair.cert.write_bytes(other.cert.read_bytes())
    return lambda: pair.key.write_bytes(other.key.read_bytes()) and None


async def test_files_that_are_replaced_one_after_the_other_are_no_fault(
    authority: Authority, pair: Pair
):
    certificate = of(pair)
    before = certificate.context
    finish = in_two_steps(authority, pair)
    certificate.look()
    assert certificate.context is before
    assert certificate.warnings() == []
    finish()
    certificate.look()
    assert certificate.context is not before
    assert certificate.warnings() == []


async def test_a_certificate_that_cannot_be_used_leaves_the_old_one_and_is_a_warning(
    authority: Authority, pair: Pair
):
    certificate = of(pair)
    async with serving(certificate) as hub:
        first = await shown(hub.port, authority.trusting())
        finish = in_two_steps(authority, pair)
        certificate.look()
        certificate.look()
        (warning,) = certificate.warnings()
        assert warning == (
            f"the old TLS certificate is still in use: tls_key: {pair.key} is not the key of the "
            f"certificate in {pair.cert}"
        )
        assert await shown(hub.port, authority.trusting()) == first
        finish()
        certificate.look()
        assert certificate.warnings() == []
        assert await shown(hub.port, authority.trusting()) != first


def test_a_certificate_that_runs_out_soon_is_a_warning(authority: Authority):
    assert of(authority.issue(lasts=timedelta(days=15))).warnings() == []
    (soon,) = of(authority.issue(lasts=timedelta(days=13))).warnings()
    assert soon.startswith("the TLS certificate runs out at 20")
    (late,) = of(authority.issue(lasts=-timedelta(days=1))).warnings()
    assert late.startswith("the TLS certificate ran out at 20")


def test_files_that_cannot_be_used_are_one_plain_sentence(authority: Authority, pair: Pair):
    other = authority.issue()
    empty = pair.cert.with_name("empty.pem")
    empty.write_text("nothing\n")
    missing = pair.cert.with_name("missing.pem")
    for cert, key, client_ca, words in [
        (missing, pair.key, "", f"tls_cert: cannot read {missing}: no such file or directory"),
        (pair.cert, missing, "", f"tls_key: cannot read {missing}: no such file or directory"),
        (pair.cert, other.key, "", f"tls_key: {other.key} is not the key of the certificate in"),
        (empty, pair.key, "", f"tls_cert: {empty} has no certificate in PEM form"),
        (pair.cert, empty, "", f"tls_key: {empty} has no private key in PEM form"),
        (pair.cert, pair.key, missing, f"tls_client_ca: cannot read {missing}"),
        (pair.cert, pair.key, empty, f"tls_client_ca: {empty} has no certificate in PEM form"),
    ]:
        with pytest.raises(TlsError) as caught:
            ServerCertificate(str(cert), str(key), str(client_ca))
        assert str(caught.value).startswith(words), str(caught.value)


async def test_a_client_may_show_a_certificate_of_the_authority_or_none(
    authority: Authority, pair: Pair, tmp_path: Path
):
    stranger = Authority(tmp_path, "Stranger").issue("CN=stranger", client=True)
    known = authority.issue("CN=known", client=True)
    async with serving(of(pair, authority.file)) as hub:
        assert await ask(hub.port, authority.trusting())
        assert await ask(hub.port, authority.trusting(known))
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # or the end without an answer
            assert await ask(hub.port, authority.trusting(stranger)) == b""


async def test_after_stop_nobody_is_accepted(authority: Authority, pair: Pair):
    async with serving(of(pair)) as hub:
        half_open = socket.create_connection(("127.0.0.1", hub.port))
        await until(lambda: hub.admission.handshakes == 1)
        await hub.listener.stop(1.0)
        with pytest.raises(OSError, match=r"refused|failed"):
            await asyncio.open_connection("127.0.0.1", hub.port)
        half_open.close()
