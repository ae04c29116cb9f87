"""The legacy registry's routes on the standard library's HTTP server."""

from __future__ import annotations

import json
import ssl
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LegacyHub:
    """Registers, hears and forgets agents; notes every call as (path, body, headers).

    While `status` is set, everything is answered with it, and with `page` if that is not None.
    `takes_ids`: as a hub, and not as the legacy service, which gives each registration its own.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[tuple[str, Any, dict[str, str]]] = []
        self.agents: set[str] = set()
        self.interval: float = 30
        self.status: int | None = None
        self.page: bytes | None = None
        self.headers: dict[str, str] = {}
        self.session_token: str | None = None
        self.takes_ids = False
        hub = self

        class Routes(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(data) if data else None
                status, answer = hub.answer(self.path, body, dict(self.headers))
                payload = json.dumps(answer).encode()
                self.send_response(status)
                if hub.status is not None:
                    payload = payload if hub.page is None else hub.page
                    for name, value in hub.headers.items():
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Routes)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self, end: str) -> list[str]:
        return [path for path, _, _ in self.calls if path.endswith(end)]

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        self.calls.append((path, body, headers))
        if self.status is not None:
            return self.status, {"error": "refused by the test"}
        if path == "/agents/register":
            id_ = body["agent_id"] if self.takes_ids else str(uuid.uuid4())
            self.agents.add(id_)
            return 201, {
                "agent_id": id_,
                "registered_at": "2026-11-20T10:00:00Z",
                "heartbeat_url": f"/agents/{id_}/heartbeat",
                "heartbeat_interval_seconds": self.interval,
                **({} if self.session_token is None else {"session_token": self.session_token}),
            }
        _, _, id_, verb = path.split("/")
        if verb == "unregister":
            self.agents.discard(id_)
            return 200, {"message": "Agent unregistered successfully"}
        if id_ not in self.agents:
            return 404, {"error": "agent not found"}
        return 200, {
            "received": True,
            "next_interval_seconds": self.interval,
            "timestamp": "2026-11-20T10:00:00Z",
        }
