"""Redis and Valkey servers behind TLS: alone, under Sentinel, and as a cluster.

A server that was built with TLS speaks it itself. Where there is none (the packaged one is built
without it), each server has a `TlsFront`, a listener that ends TLS and passes the bytes on; the
servers then announce the ports of their fronts.
"""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import threading
from pathlib import Path

from tests.support.certificate_authority import Authority, Pair
from tests.support.ports import free_port
from tests.support.topologies import ClusterSetup, SentinelServer, SentinelSetup, TcpServer


def find_tls_program() -> str | None:
    """A server on PATH that was built with TLS."""
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None and b"libssl" in Path(path).read_bytes():
            return path
    return None


KINDS = ["front", "server"] if find_tls_program() else ["front"]
"""Who ends TLS: a front, and a server itself where there is one that can."""


class Secrets:
    """The certificates of servers and clients, all of one authority."""

    def __init__(self, directory: Path, *, clients: bool = False, **issued: object) -> None:
        self.authority = Authority(directory, "Redis Authority")
        # Servers are clients of each other.
        self.server = self.authority.issue("CN=redis", peer=True, **issued)  # type: ignore[arg-type]
        self.client: Pair | None = None
        if clients:
            self.client = self.authority.issue("CN=hub", client=True)

    @property
    def options(self) -> str:
        """The query of a hub's URL."""
        found = f"?ssl_ca_certs={self.authority.file}"
        if self.client is not None:
            found += f"&ssl_certfile={self.client.cert}&ssl_keyfile={self.client.key}"
        return found

    @property
    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        if self.client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority.file)
        return context

    def settings(self, port: int) -> tuple[str, ...]:
        """What a server with TLS needs, to speak nothing else on `port`."""
        return (
            *("--tls-port", str(port), "--port", "0"),
            *("--tls-cert-file", str(self.server.cert), "--tls-key-file", str(self.server.key)),
            *("--tls-ca-cert-file", str(self.authority.file)),
            *("--tls-auth-clients", "no" if self.client is None else "yes"),
            *("--tls-replication", "yes", "--tls-cluster", "yes"),
        )


class TlsFront:
    """Ends TLS on `port`, and passes bytes on to a server's unix socket.

    What begins without TLS is passed on too: Sentinels and replicas know servers by this port.
    """

    def __init__(self, port: int, target: Path, context: ssl.SSLContext) -> None:
        self._target = str(target)
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if client.recv(1, socket.MSG_PEEK) == b"\x16":
                client.settimeout(10)
                client = self._context.wrap_socket(client, server_side=True)
                client.settimeout(None)
            server.connect(self._target)
            _pump(client, server)
        except OSError:
            pass
        finally:
            client.close()
            server.close()


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes both ways, by one thread, until one side ends."""
    while True:
        pending = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if pending else select.select([client, server], [], [])[0]
        for source, target in ((client, server), (server, client)):
            if source in ready:
                data = source.recv(65536)
                if not data:
                    return
                target.sendall(data)


class TlsServer(TcpServer):
    """One server that is reached over TLS at `port`."""

    def __init__(self, secrets: Secrets, kind: str, *settings: str) -> None:
        super().__init__(*settings)
        self.secrets = secrets
        self.program = find_tls_program() if kind == "server" else None
        self.front: TlsFront | None = None
        self.url = f"rediss://127.0.0.1:{self.port}{secrets.options}"
        if kind == "server":
            self.settings += secrets.settings(self.port)
            return
        inside, outside = free_port(), str(self.port)
        self.settings += ("--port", str(inside), "--replica-announce-port", outside)
        if "--cluster-enabled" in settings:
            bus = str(self.port + 10_000)
            self.settings += ("--cluster-announce-port", outside, "--cluster-port", bus)

    def command(self) -> list[str]:
        program, *rest = super().command()
        return [self.program or program, *rest]

    def start(self) -> None:
        super().start()
        if self.program is None and self.front is None:
            self.front = TlsFront(self.port, self.path, self.secrets.context)

    def end(self) -> None:
        if self.front is not None:
            self.front.close()
        super().end()


class TlsSentinel(SentinelServer):
    """A Sentinel that is reached over TLS at `port`."""

    def __init__(self, secrets: Secrets, kind: str, number: int) -> None:
        super().__init__(number)
        self.secrets = secrets
        self.program = find_tls_program() if kind == "server" else None
        self.front: TlsFront | None = None

    def command(self) -> list[str]:
        program, *rest = super().command()
        return [self.program or program, *rest]

    def configure(self, *lines: str) -> None:
        if self.program is None:
            own = [f"port {free_port()}", f"sentinel announce-port {self.port}"]
            own += ["sentinel announce-ip 127.0.0.1"]
        else:
            settings = self.secrets.settings(self.port)
            pairs = zip(settings[::2], settings[1::2], strict=True)
            own = [f"{name[2:]} {value}" for name, value in pairs if name != "--tls-cluster"]
        super().configure(*own, *lines)

    def start(self) -> None:
        super().start()
        if self.program is None and self.front is None:
            self.front = TlsFront(self.port, self.path, self.secrets.context)

    def end(self) -> None:
        if self.front is not None:
            self.front.close()
        super().end()


class TlsSentinelSetup(SentinelSetup):
    """As `SentinelSetup`, over TLS."""

    def __init__(self, secrets: Secrets, kind: str) -> None:
        super().__init__()
        self.servers = [TlsServer(secrets, kind) for _ in range(2)]
        self.sentinels = [TlsSentinel(secrets, kind, number) for number in (1, 2, 3)]
        self._options = secrets.options

    @property
    def url(self) -> str:
        return super().url.replace("redis+", "rediss+") + self._options


class TlsClusterSetup(ClusterSetup):
    """As `ClusterSetup`, over TLS."""

    def __init__(self, secrets: Secrets, kind: str) -> None:
        super().__init__(server=lambda *settings: TlsServer(secrets, kind, *settings))
        self._options = secrets.options

    @property
    def url(self) -> str:
        return super().url.replace("redis+", "rediss+") + self._options
