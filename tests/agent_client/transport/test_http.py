"""One POST over HTTP: through redirections, and past what is no hub's answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agent_client.transport.http import NO_ANSWER, post

Handler = Callable[[BaseHTTPRequestHandler, bytes], None]
Calls = list[tuple[str, str, bytes, dict[str, str]]]


@contextmanager
def server(handle: Handler, host: str = "127.0.0.1") -> Iterator[tuple[str, Calls]]:
    """A server that notes (method, path, body, headers) and answers as `handle` does."""
    calls: Calls = []

    class Routes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            calls.append((self.command, self.path, body, dict(self.headers)))
            handle(self, body)

        do_GET = do_POST  # noqa: N815 - the name is the library's

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Routes)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://{host}:{httpd.server_port}", calls
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def answering(status: int, body: bytes = b"{}", **headers: str) -> Handler:
    def handle(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirection_is_followed_with_method_body_and_headers(status: int) -> None:
    headers = {"Authorization": "Bearer t", "Homeport-Session-Token": "s"}
    moved, done = answering(status, Location="/moved"), answering(201, b'{"done":true}')
    with server(
        lambda request, body: (done if request.path == "/moved" else moved)(request, body)
    ) as (hub, calls):
        answer = post(f"{hub}/agents/register", b'{"name":"a"}', headers, 5)
    assert (answer.status, answer.body) == (201, b'{"done":true}')
    _, (method, path, body, sent) = calls
    assert (method, path, body) == ("POST", "/moved", b'{"name":"a"}')
    sent = {name.lower(): value for name, value in sent.items()}
    assert sent["content-type"] == "application/json"
    assert sent["authorization"] == "Bearer t"
    assert sent["homeport-session-token"] == "s"


@pytest.mark.parametrize("status", [302, 303])
def test_a_login_page_is_an_error_that_names_it(status: int) -> None:
    with (
        server(answering(200, b"<html>")) as (page, asked),
        server(answering(status, Location=f"{page}/login?next=secret")) as (proxy, _),
        pytest.raises(NO_ANSWER) as raised,
    ):
        post(proxy, b"{}", {}, 5)
    assert not asked
    assert str(raised.value).startswith(f"HTTP {status} leads to {page}/login, as to the login")
    assert "secret" not in str(raised.value)


def test_a_token_does_not_go_to_another_origin_and_a_session_does() -> None:
    with (
        server(answering(200), "localhost") as (other, calls),
        server(answering(308, Location=other)) as (hub, _),
    ):
        with pytest.raises(NO_ANSWER, match="another origin, to which Authorization is not sent"):
            post(hub, b"{}", {"Authorization": "Bearer t"}, 5)
        with pytest.raises(NO_ANSWER, match="to which X-access is not sent"):
            post(hub, b"{}", {"X-Access": "1"}, 5)
        assert not calls
        assert post(hub, b"{}", {"Homeport-Session-Token": "s"}, 5).status == 200
    assert len(calls) == 1


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd", "javascript:0"])
def test_a_redirection_to_another_kind_of_url_is_not_followed(place: str) -> None:
    with server(answering(308, Location=place)) as (hub, _):
        try:
            answer = post(hub, b"{}", {}, 5)
        except NO_ANSWER:
            return
        assert answer.status == 308


def test_redirections_in_a_circle_end() -> None:
    with server(answering(308, Location="/")) as (hub, calls):
        assert post(hub, b"{}", {}, 5).status == 308
    assert len(calls) <= 6


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":"agent not found"}', "agent not found"),
        (b'{"error":"no","outcome":"unknown"}', "no"),
        (b"<html>404</html>", None),
        (b'{"error":{"code":404}}', None),
        (b'{"message":"no route"}', None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_what_a_hub_says_is_told_from_what_others_say(body: bytes, error: str | None) -> None:
    with server(answering(404, body)) as (hub, _):
        assert post(hub, b"{}", {}, 5).error == error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("3600", 30.0), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("-1", None)],
)
def test_retry_after_counts_up_to_half_a_minute(header: str, seconds: float | None) -> None:
    with server(answering(503, Retry_After=header)) as (hub, _):
        assert post(hub, b"{}", {}, 5).retry_after == seconds


def test_an_answer_that_comes_slowly_does_not_take_for_ever() -> None:
    stop = threading.Event()

    def drip(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not stop.wait(0.02):
            request.wfile.write(b" ")

    with server(drip) as (hub, _):
        begun = time.monotonic()
        with pytest.raises(NO_ANSWER):
            post(hub, b"{}", {}, 0.3)
        stop.set()
    assert time.monotonic() - begun < 20


def test_a_connection_that_is_cut_is_no_answer() -> None:
    with (
        server(lambda request, _body: request.connection.close()) as (hub, _),
        pytest.raises(NO_ANSWER),
    ):
        post(hub, b"{}", {}, 5)
