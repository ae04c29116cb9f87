"""Browsers are strangers: what the page of another site may not do to a hub.

A page can send requests to any address that its browser reaches, this machine's included, and the
hub cannot tell them from a program's but by what the browser adds:

- `Host` is the name under which the page reached the hub. A site whose name was bound to the hub's
  address after its page was loaded ("DNS rebinding") is found by that: where nobody is asked for a
  token, only names of this hub count. Its port does not: a published or forwarded port has another
  number, and a page on another port is another origin. An address is no name, so nobody can bind
  one: a hub on all addresses takes any.
- `Origin` is the site of the page. Programs send none.
- `Sec-Fetch-Site` says that a request comes from another site's page where there is no `Origin`:
  images, scripts, frames and links. Only links are followed, and only to pages.

All functions here are pure, and are called for every request before anything else looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from homeport_protocol.http import SESSION_TOKEN_HEADER
from homeport_protocol.namespaces import NAMESPACE_HEADER
from hub.net.head import Address, Authority, Head, read_authority, read_host
from hub.net.raw_response import Headers, Refused
from hub.telemetry.logs import redact_text

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""

PREFLIGHT_AGE = 600
"""Seconds for which a browser remembers what a page of an allowed origin may do."""

_PORTS = {"http": 80, "https": 443}
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        f"Authorization, Content-Type, {NAMESPACE_HEADER}, {SESSION_TOKEN_HEADER}".encode(),
    ),
    (b"access-control-max-age", b"%d" % PREFLIGHT_AGE),
)
_SHOWN = 100
"""Characters of a refused name that the refusal repeats."""


class BrowserRules(Struct, frozen=True, kw_only=True):
    """Which names and origins are a hub's own, or allowed.

    `addresses` are those that it listens on, None in it standing for all of the machine's; `names`
    those of the settings `host` and `allowed_hosts`, `suffixes` what stood behind `*`. `pages` are
    the paths that a link on another site may lead to.
    """

    addresses: frozenset[Address | None] = frozenset()
    names: frozenset[str | Address] = frozenset()
    suffixes: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()
    pages: frozenset[bytes] = frozenset({b"/"})
    names_given: bool = False
    """Whether `allowed_hosts` is set."""


class Permit(Struct, frozen=True):
    """A request may go on; `headers` are added to its response.

    A `preflight` is a browser's question what a page may do: the headers are the whole answer.
    """

    headers: Headers = ()
    preflight: bool = False


PLAIN = Permit()
"""What is not from a page, or from one of the hub's own."""


class BrowserPolicy(Struct, frozen=True, kw_only=True):
    """What a listener is told of browsers: the settings, and the paths of the hub's pages."""

    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    pages: Sequence[str] = ("/",)
    asks: Callable[[], bool] = lambda: False
    """Whether callers are asked for tokens."""


def make_rules(host: str, addresses: Iterable[str], policy: BrowserPolicy) -> BrowserRules:
    """The rules of a hub that is bound to `addresses`, which are those of the setting `host`."""
    allowed = policy.allowed_hosts
    bound = [read_host(each.partition("%")[0]) for each in addresses]
    return BrowserRules(
        addresses=frozenset(
            None if isinstance(each, str) or each.is_unspecified else each for each in bound
        ),
        names=frozenset(
            {"localhost", read_host(host)}
            | {read_host(each) for each in allowed if not each.startswith("*")}
        ),
        suffixes=tuple(each[1:].lower() for each in allowed if each.startswith("*")),
        origins=frozenset(
            filter(None, (_normal(each.encode()) for each in policy.allowed_origins))
        ),
        pages=frozenset(each.encode() for each in policy.pages),
        names_given=bool(allowed),
    )


def check_browser(head: Head, rules: BrowserRules, *, asks: bool) -> Permit:
    """Whether a request may go on; `asks` where callers are asked for tokens.

    Raises Refused: 421 for a host that is not this hub's, 403 for the page of another site, 415 for
    a body that a page can send without asking.
    """
    if (not asks or rules.names_given) and not _is_own(head.host, rules):
        name = _shown(head.once[b"host"])
        raise Refused(
            421,
            f'the host "{name}" is not this hub\'s: use localhost, its address, or name it in '
            "allowed_hosts",
        )
    origin = head.once.get(b"origin")
    if origin is None:
        _check_site(head, rules)
        return PLAIN
    own = _is_own_origin(origin, head)
    if not own and _normal(origin) not in rules.origins:
        raise Refused(
            403,
            f'pages of "{_shown(origin)}" may not use this hub; the setting allowed_origins could '
            "allow it",
        )
    headers: Headers = ()
    if not own:
        headers = ((b"access-control-allow-origin", origin), (b"vary", b"Origin"))
    if head.method == "OPTIONS" and b"access-control-request-method" in head.once:
        return Permit((*headers, *_PREFLIGHT), preflight=True)
    if head.method not in READING and head.has_body:
        kind = head.once.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Refused(415, "pages may send bodies of the type application/json only")
    return Permit(headers)


def _is_own(host: Authority | None, rules: BrowserRules) -> bool:
    if host is None:
        return True  # HTTP/1.0, which no browser speaks
    name = host.host
    if isinstance(name, str):
        return name in rules.names or name.endswith(rules.suffixes or ("\0",))
    return name in rules.addresses or None in rules.addresses or name in rules.names


def _is_own_origin(origin: bytes, head: Head) -> bool:
    """Whether the page was loaded from where this request goes."""
    scheme, _, rest = origin.partition(b"://")
    own_scheme = "https" if head.secure else "http"
    site = read_authority(rest) if scheme.lower() == own_scheme.encode() else None
    if site is None or site.host == "" or head.host is None:
        return False
    usual = _PORTS[own_scheme]
    return (site.host, site.port or usual) == (head.host.host, head.host.port or usual)


def _check_site(head: Head, rules: BrowserRules) -> None:
    """Refuse what a page of another site loads without an `Origin`, but for links to pages."""
    if head.once.get(b"sec-fetch-site") not in (b"cross-site", b"same-site"):
        return
    follows_link = (
        head.method in READING
        and head.once.get(b"sec-fetch-mode") == b"navigate"
        and head.once.get(b"sec-fetch-dest") == b"document"
    )
    if not follows_link or head.path not in rules.pages:
        raise Refused(403, "a page of another site may not load this; type the URL, or open /")


def _normal(origin: bytes) -> str | None:
    """An origin without its scheme's port, in lower case; None for what is none."""
    scheme, found, rest = str(origin, "latin-1").lower().partition("://")
    site = read_authority(rest.encode()) if found else None
    if site is None or site.host == "":
        return None
    port = "" if site.port in (None, _PORTS.get(scheme)) else f":{site.port}"
    return f"{scheme}://{site.host}{port}"


def _shown(value: bytes) -> str:
    # Redacted first, or half a token would be shown.
    return redact_text(value.decode("latin-1"))[:_SHOWN]
