"""The opening handshake, through real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from hub.net.caller import Shown
from tests.hub.websocket.fakes import RawPeer, RunningHub, client_frame, upgrade
from tests.support.waiting import until


async def request(hub: RunningHub, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes; the whole answer as status, headers and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(data)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def refused(hub: RunningHub, data: bytes) -> tuple[int, dict[str, str], str]:
    status, headers, body = await request(hub, data)
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert "date" in headers
    assert hub.sessions == []
    await until(lambda: hub.listener.open_connections == 0)
    answer = json.loads(body)
    assert list(answer) == ["error"]
    return status, headers, answer["error"]


async def test_a_message_is_echoed(hub: RunningHub):
    async with connect(hub.url) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_any_path_but_ws_is_404(hub: RunningHub):
    for path in ("/", "/ws/", "/wss", "/%77s", "//ws", "/ws;x", "/agents"):
        status, _, error = await refused(hub, upgrade(path))
        assert status == 404
        assert "/ws" in error


async def test_the_namespace_is_default_unless_header_or_query_names_one(hub: RunningHub):
    async with connect(hub.url), connect(f"{hub.url}?namespace=blue&x=1"):
        async with connect(hub.url, additional_headers={"Homeport-Namespace": "green"}):
            pass
        both = {"Homeport-Namespace": "red"}
        async with connect(f"{hub.url}?namespace=red", additional_headers=both):
            pass
    names = [session.namespace for session in hub.sessions]
    assert names == ["default", "blue", "green", "red"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ws?namespace=", ""),
        ("/ws?namespace=-x", ""),
        ("/ws?namespace=a/b", ""),
        ("/ws?namespace=a%0A", ""),
        ("/ws?namespace=" + "a" * 64, ""),
        ("/ws?namespace=a&namespace=b", ""),
        ("/ws?" + "&".join(f"a{n}=1" for n in range(200)), ""),
        ("/ws", "Homeport-Namespace: a b\r\n"),
        ("/ws", "Homeport-Namespace: a\r\nHomeport-Namespace: b\r\n"),
        ("/ws?namespace=a", "Homeport-Namespace: b\r\n"),
    ],
)
async def test_a_bad_namespace_is_400(hub: RunningHub, path: str, headers: str):
    status, _, error = await refused(hub, upgrade(path, headers))
    assert status == 400
    assert "namespace" in error.lower() or "query" in error


async def test_a_refusal_of_the_hub_has_its_status_and_words(hub: RunningHub):
    hub.refusal = ProtocolError("rate_limited", "too many namespaces")
    status, headers, error = await refused(hub, upgrade())
    assert (status, headers["retry-after"], error) == (429, "1", "too many namespaces")


async def test_a_draining_hub_answers_503_and_when_to_retry(hub: RunningHub):
    hub.accepting = False
    status, headers, error = await refused(hub, upgrade())
    assert (status, headers["retry-after"]) == (503, "1")
    assert "going away" in error


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"), 400),
        ((b"Sec-WebSocket-Key:", b"X-Key:"), 400),
        ((b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: !!"), 400),
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13, 8"), 400),
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13\r\n" * 2 + b"X: y"), 400),
        ((b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: AAAA"), 400),
        ((b"Host: localhost\r\n", b"Host: localhost\r\n" + b"X: y\r\n" * 200), 400),
    ],
)
async def test_a_broken_handshake_is_refused_in_words(hub: RunningHub, change, status):
    got, _, error = await refused(hub, upgrade().replace(*change))
    assert got == status
    assert "handshake" in error


async def test_headers_may_be_written_in_any_case_and_lists_on_several_lines(hub: RunningHub):
    handshake = (
        b"GET /ws HTTP/1.1\r\nHOST:localhost\r\nuPGRADE: WebSocket\r\n"
        b"connection: keep-alive,  upgrade\r\nX-Empty:\r\n"
        b"sec-websocket-key:   dGhlIHNhbXBsZSBub25jZQ==  \r\nSEC-WEBSOCKET-VERSION:13\r\n"
        b"Sec-WebSocket-Protocol: one,two\r\nSec-WebSocket-Protocol: three ,homeport.v1\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(handshake)
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    # The key and its answer are the example of RFC 6455 section 1.3.
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"\r\nSec-WebSocket-Protocol: homeport.v1\r\n" in answer
    writer.close()


async def test_only_get_can_be_upgraded(hub: RunningHub):
    status, _, _ = await refused(hub, upgrade().replace(b"GET", b"POST", 1))
    assert status in {400, 405}


async def test_a_bug_while_opening_is_500_and_the_next_one_is_served(hub: RunningHub):
    hub.refusal = RuntimeError("a bug")
    status, _, error = await refused(hub, upgrade())
    assert (status, error) == (500, "internal error")
    hub.refusal = None
    async with connect(hub.url):
        pass


class Asking:
    """An authenticator that has to ask a store, which answers when `answered` is set."""

    asks = True

    def __init__(self, answer: Principal | ProtocolError) -> None:
        self.answer = answer
        self.asked: list[Shown] = []
        self.answered = asyncio.Event()

    def recognise(self, shown: Shown) -> Principal | None:
        return None

    async def look_up(self, shown: Shown) -> Principal:
        self.asked.append(shown)
        await self.answered.wait()
        if isinstance(self.answer, ProtocolError):
            raise self.answer
        return self.answer


BLUE = Principal(id="token:a", role="observer", namespace="blue")


async def test_frames_sent_while_the_caller_is_looked_up_are_read_afterwards(hub: RunningHub):
    hub.authenticator = asking = Asking(BLUE)
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(upgrade(headers="Authorization: Bearer x\r\n") + client_frame(1, b"early"))
    await until(lambda: asking.asked)
    writer.write(client_frame(1, b"later"))
    assert hub.sessions == []
    asking.answered.set()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    await until(lambda: hub.sessions and hub.sessions[0].messages == [b"early", b"later"])
    assert hub.sessions[0].namespace == "blue"
    shown = asking.asked[0]
    assert (shown.authorization, shown.peer) == ("Bearer x", "127.0.0.1")
    assert "Bearer" not in repr(shown)
    writer.close()


async def test_who_is_not_known_is_401_before_the_upgrade(hub: RunningHub):
    hub.authenticator = asking = Asking(ProtocolError("unauthorized", "no such token"))
    asking.answered.set()
    status, headers, error = await refused(hub, upgrade())
    assert (status, error) == (401, "no such token")
    assert headers["www-authenticate"].startswith("bearer")


async def test_another_namespace_than_the_principals_is_403_before_the_upgrade(hub: RunningHub):
    hub.authenticator = asking = Asking(BLUE)
    asking.answered.set()
    status, _, error = await refused(hub, upgrade("/ws?namespace=green"))
    assert status == 403
    assert "blue" in error
    assert "green" not in error


async def test_a_caller_that_goes_while_it_is_looked_up_leaves_nothing(hub: RunningHub):
    hub.authenticator = asking = Asking(BLUE)
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(upgrade())
    await until(lambda: asking.asked)
    writer.transport.abort()
    asking.answered.set()
    await until(lambda: hub.listener.open_connections == 0)
    assert all(session.closed_times == 1 for session in hub.sessions)


@pytest.mark.parametrize("name", ["token", "access_token", "TOKEN", "x"])
async def test_a_token_in_the_url_is_refused_by_name(hub: RunningHub, name: str):
    status, _, error = await refused(hub, upgrade(f"/ws?{name}=hp1_secret"))
    assert status == 400
    assert error.startswith(f"{name}: a token may not be in the URL")
    assert "secret" not in error


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        (["homeport.v1"], "homeport.v1"),
        (["other", "homeport.v1"], "homeport.v1"),
        (["homeport.v2", "other"], None),
    ],
)
async def test_the_subprotocol_is_chosen_when_offered_and_never_demanded(
    hub: RunningHub, offered, chosen
):
    async with connect(hub.url, subprotocols=offered) as client:
        assert client.subprotocol == chosen
        await client.send("x")
        assert await client.recv() == "x"


async def test_no_compression_is_negotiated(hub: RunningHub):
    async with connect(hub.url, compression="deflate") as client:
        assert client.response.headers.get("Sec-WebSocket-Extensions") is None
        assert client.protocol.extensions == []


async def test_a_page_of_another_site_is_403_before_the_upgrade(hub: RunningHub):
    status, _, error = await refused(hub, upgrade(headers="Origin: https://elsewhere.example\r\n"))
    assert status == 403
    assert "elsewhere.example" in error
    async with connect(hub.url, origin=f"http://127.0.0.1:{hub.port}"):
        assert len(hub.connections) == 1


async def test_an_upgrade_behind_an_unread_answer_is_refused(hub: RunningHub):
    status, _, _ = await request(hub, b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n" + upgrade())
    assert status == 200
    assert hub.sessions == []
    await until(lambda: hub.listener.open_connections == 0)


async def test_an_upgrade_may_follow_an_answer_that_was_read(hub: RunningHub):
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n/a")
    writer.write(upgrade())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.close()


async def test_frames_right_behind_the_handshake_are_read(hub: RunningHub):
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    early = client_frame(1, b"early") + client_frame(1, b"cut")
    writer.write(upgrade() + early[:-1])
    await until(lambda: hub.sessions and hub.sessions[0].messages)
    writer.write(early[-1:])
    await until(lambda: hub.sessions[0].messages == [b"early", b"cut"])
    writer.close()


async def test_connections_are_counted_while_they_are_open(hub: RunningHub):
    first, second = await RawPeer.connect(hub.port), await RawPeer.connect(hub.port)
    assert len(hub.connections) == hub.listener.open_connections == 2
    first.vanish()
    await until(lambda: len(hub.connections) == 1)
    second.vanish()
    await until(lambda: hub.listener.open_connections == 0)
    with pytest.raises(InvalidStatus):
        await connect(hub.url + "x")
