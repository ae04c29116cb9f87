"""A proxy of every kind, on one port: HTTP (CONNECT, and whole URLs) and SOCKS5."""

from __future__ import annotations

import base64
import re
import socket
import socketserver
import threading
from typing import Any, Self

from tests.support.tls import server_context


class StubProxy:
    """Leads everything to `port` of this machine, whatever host it is asked for.

    `asked` are the hosts and ports that it was asked for, `credentials` the users and passwords
    that came with them. It refuses with the HTTP status `refusal` when that is set, and wants
    "me:s3cret" when `locked`.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", tls: bool = False) -> None:
        self.asked: list[str] = []
        self.credentials: list[str] = []
        self.refusal: int | None = None
        self.locked = False
        proxy, context = self, server_context() if tls else None

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                client: socket.socket = self.request
                try:
                    if context is not None:
                        client = context.wrap_socket(client, server_side=True)
                    proxy._serve(client, port)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((host, 0), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket, port: int) -> None:
        first = client.recv(1, socket.MSG_PEEK) if not hasattr(client, "context") else b"C"
        if first == b"\x05":
            self._socks(client)
            rest = b""
        else:
            rest = self._http(client)
        with socket.create_connection(("127.0.0.1", port)) as hub:
            hub.sendall(rest)
            threading.Thread(target=_pump, args=(hub, client), daemon=True).start()
            _pump(client, hub)

    def _http(self, client: socket.socket) -> bytes:
        """Answer to a request; returns what is passed on to the hub."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                raise ConnectionError
            head += piece
        line = head.split(b"\r\n", 1)[0].decode()
        given = re.search(rb"(?i)proxy-authorization: basic (\S+)", head)
        credentials = base64.b64decode(given[1]).decode() if given else ""
        self.credentials.append(credentials)
        method, target, _ = line.split()
        self.asked.append(target if method == "CONNECT" else target.split("/")[2])
        status = 407 if self.locked and credentials != "me:s3cret" else self.refusal
        if status is not None:
            client.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            raise ConnectionError
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: stub\r\n\r\n")
            return b""
        path = "/" + target.split("/", 3)[3]
        return head.replace(target.encode(), path.encode(), 1)

    def _socks(self, client: socket.socket) -> None:
        methods = _exactly(client, _exactly(client, 2)[1])
        if self.locked:
            client.sendall(b"\x05\x02" if 2 in methods else b"\x05\xff")
            user = _exactly(client, _exactly(client, 2)[1]).decode()
            password = _exactly(client, _exactly(client, 1)[0]).decode()
            self.credentials.append(f"{user}:{password}")
            good = self.credentials[-1] == "me:s3cret"
            client.sendall(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                raise ConnectionError
        else:
            client.sendall(b"\x05\x00")
        kind = _exactly(client, 4)[3]
        if kind == 3:
            host = _exactly(client, _exactly(client, 1)[0]).decode()
        else:
            host = socket.inet_ntop(
                socket.AF_INET if kind == 1 else socket.AF_INET6,
                _exactly(client, 4 if kind == 1 else 16),
            )
        self.asked.append(f"{host}:{int.from_bytes(_exactly(client, 2), 'big')}")
        reply = 0 if self.refusal is None else 2
        client.sendall(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if reply:
            raise ConnectionError


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data


def _pump(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for each in (source, sink):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
