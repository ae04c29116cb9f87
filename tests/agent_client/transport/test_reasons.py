"""Why no connection could be made is said in plain words, TLS where there is none included."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent_client import CannotConnect, HubClient
from agent_client.transport.reasons import mismatch

ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
"""What an OpenSSL server sends that gets HTTP instead of a handshake."""


@asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[int]:
    """A server that answers whatever comes with `data`, and closes; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("scheme", "data", "words"),
    [
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS is spoken there: use http:// or ws"),
        ("http", ALERT, "was closed before an answer came: if TLS is spoken there, use https://"),
        ("http", b"", "was closed before an answer came: if TLS is spoken there, use https://"),
        ("http", b"-ERR unknown command 'GET'\r\n", "no hub: it does not speak HTTP"),
    ],
)
async def test_a_peer_that_speaks_otherwise(scheme: str, data: bytes, words: str) -> None:
    async with answering(data) as port:
        hub = HubClient(f"{scheme}://127.0.0.1:{port}", request_timeout=5)
        with pytest.raises(CannotConnect) as caught:
            await hub.ping()
        await hub.close()
    assert words in str(caught.value)
    assert "peration not permitted" not in str(caught.value)


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def test_a_certificate_that_is_not_trusted_says_why() -> None:
    words = "its certificate is not trusted: self-signed certificate"
    assert mismatch(certificate_error(), secure=True) == words


def test_a_closed_connection_says_what_to_try() -> None:
    secure = mismatch(ConnectionResetError(), secure=True)
    assert secure is not None
    assert "if no TLS is spoken there, use http:" in secure
    plain = mismatch(ConnectionResetError(), secure=False)
    assert plain is not None
    assert "if TLS is spoken there, use https:" in plain


@pytest.mark.parametrize("error", [OSError(111, "refused"), TimeoutError(), ValueError("x")])
def test_any_other_error_is_left_to_its_own_words(error: Exception) -> None:
    assert mismatch(error, secure=True) is None
