"""Which proxy a connection goes through, by the environment (or the system's settings).

| variable, in either case | used for |
|---|---|
| `ws_proxy`, `wss_proxy` | websockets, without and with TLS |
| `socks_proxy` | everything |
| `https_proxy` | websockets (a tunnel serves them without TLS as well), HTTP with TLS |
| `http_proxy` | what has no TLS |
| `all_proxy` | what has no other proxy |
| `no_proxy` | the hosts that are reached directly: see `is_excepted` |

The first that is set counts, in this order; for HTTP, the variable of its scheme comes first. This
machine is always reached directly.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import urllib.request
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

_VARIABLES = {
    "ws": ("ws", "socks", "https", "http", "all"),
    "wss": ("wss", "socks", "https", "all"),
    "http": ("http", "socks", "all"),
    "https": ("https", "socks", "all"),
}

_PORTS = {"http": 80, "https": 443, "socks": 1080, "socks4": 1080, "socks4a": 1080}
_PORTS |= {"socks5": 1080, "socks5h": 1080}

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProxyError(OSError):
    """What a proxy refused, or why it cannot be used; `retryable` when it may work later."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class Proxy(NamedTuple):
    """A proxy; `scheme` is http, https, socks4, socks4a, socks5 or socks5h."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"<proxy {self}>"

    def __str__(self) -> str:
        """Its URL without user and password, for messages and logs."""
        return f"{self.scheme}://{authority(self.host, self.port)}"

    @property
    def url(self) -> str:
        """Its whole URL, secrets included."""
        user = (
            "" if self.user is None else f"{quote(self.user, '')}:{quote(self.password or '', '')}@"
        )
        return f"{self.scheme}://{user}{authority(self.host, self.port)}"

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")


def proxy_for(url: str) -> Proxy | None:
    """The proxy through which `url` (http, https, ws or wss) is reached; None for directly.

    Raises ProxyError for a variable that names no proxy.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme in ("https", "wss")
    port = parts.port or (443 if secure else 80)
    if is_loopback(host):
        return None
    proxies = urllib.request.getproxies()
    name = next((each for each in _VARIABLES[parts.scheme] if proxies.get(each)), None)
    if name is None or is_excepted(host, port, proxies.get("no", "")):
        return None
    if urllib.request.proxy_bypass(f"{host}:{port}"):  # the system's settings, where it has some
        return None
    return _parse(proxies[name], name)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    ip = as_ip(host)
    return ip is not None and ip.is_loopback


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` names `host`.

    Its entries are separated by commas or spaces: a name (which stands for the names below it as
    well; a leading dot or `*.` changes nothing), an address in any of its forms, a network such as
    10.0.0.0/8 or fd00::/8, each with or without a port; or `*` for every host. Networks are
    compared with addresses only: no name is looked up.
    """
    host = host.lower().rstrip(".")
    ip = as_ip(host)
    return any(_names(entry, host, ip, port) for entry in re.split(r"[,\s]+", no_proxy.lower()))


def as_ip(host: str) -> Ip | None:
    """The address that `host` is, in any form that can be connected to; None for a name."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        # 127.1, 0x7f.0.0.1 and 2130706433 are addresses for the system as well.
        if not re.fullmatch(r"[0-9a-fx.]+", host.lower()):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(ip, "ipv4_mapped", None) or ip


def authority(host: str, port: int) -> str:
    """`host` and `port` as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(entry: str, host: str, ip: Ip | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ip is not None and ip in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, of_port = entry, None
    if as_ip(entry) is None:  # a bare IPv6 address has colons, and no port
        with_port = re.fullmatch(r"(.*):(\d+)", entry)
        if with_port:
            name, of_port = with_port[1], int(with_port[2])
    if of_port not in (None, port):
        return False
    other = as_ip(name)
    if other is not None or ip is not None:
        return other == ip
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _parse(text: str, variable: str) -> Proxy:
    if "://" not in text:
        text = f"{'socks5h' if variable == 'socks' else 'http'}://{text}"
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port, parts = "", None, None, urlsplit("")
    if variable == "socks" and scheme == "http":  # so some systems write it
        scheme = "socks5h"
    if scheme not in _PORTS or not host:
        raise ProxyError(
            f"{variable.upper()}_PROXY names no proxy that can be used; expected such as "
            "http://proxy:3128 or socks5h://proxy:1080",
            retryable=False,
        )
    user, password = parts.username, parts.password
    if user is not None:
        user, password = unquote(user), unquote(password or "")
    scheme = "socks5h" if scheme == "socks" else scheme
    return Proxy(scheme, host, port or _PORTS[scheme], user, password)
