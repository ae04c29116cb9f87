"""`Settings`: every setting once, with its type, default, bounds and help text.

The command line, the environment, the TOML file and the documentation are all derived from the
annotations below; see `hub.settings.fields`.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from actors.limits import Limits
from actors.timing import Timing
from homeport_protocol.bounds import MAX_FRAME_BYTES, MAX_TOTAL_UNSENT_BYTES, MAX_UNSENT_BYTES
from hub.telemetry.logs import redact_text

YEAR = 365 * 24 * 3600

MAX_HUB_ID = 64
NETWORK = r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"
HUB_ID = rf"^[A-Za-z0-9._-]{{1,{MAX_HUB_ID}}}$"

HOST = r"(\*\.)?[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?"
_PORT = r"[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
ORIGIN = rf"https?://([A-Za-z0-9._-]{{1,253}}|\[[0-9A-Fa-f:.]{{2,45}}\])(:({_PORT}))?"

LEGACY_UNTIL = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3])(:[0-5][0-9]){2}Z)?$"
)


def default_data_dir(environ: Mapping[str, str] = os.environ, system: str = sys.platform) -> str:
    """The directory in which programs of this user keep their data on this system."""
    home = environ.get("HOME") or os.path.expanduser("~")
    if system == "darwin":
        return os.path.join(home, "Library", "Application Support", "homeport")
    base = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):  # the XDG specification says to ignore relative paths
        base = os.path.join(home, ".local", "share")
    return os.path.join(base, "homeport")


def default_hub_id(port: int, workers: int = 1) -> str:
    """`{hostname}-{port}`, reduced to the characters and the length that a hub's id may have.

    For port 0, which many hubs may use at once, it has the process id. There is room for the suffix
    of a worker's id, which is made from it.
    """
    suffix = f"-{port or os.getpid()}"
    room = MAX_HUB_ID - len(suffix) - (len(worker_id("", workers)) if workers > 1 else 0)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())
    return (name[:room].strip("-.") or "hub") + suffix


def worker_id(hub_id: str, number: int) -> str:
    """The id of one of several workers, which are numbered from 1."""
    return f"{hub_id}-{number}"


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of one hub. Intervals are in seconds and accept fractions.

    `load_settings` makes it from the user's values and checks every bound; the constructor checks
    nothing.
    """

    host: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            pattern=r"^[^\s/@]+$",
            description="Address to listen on; 0.0.0.0 or :: for all of this machine's.",
            extra={"metavar": "ADDRESS", "expects": "a host name or an address"},
        ),
    ] = "127.0.0.1"

    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="Port to listen on, for websockets and HTTP; 0 for any free one.",
            extra={"metavar": "PORT"},
        ),
    ] = 8080

    tls_cert: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="PEM file of the certificate to show, and of those between it and its "
            "authority; with it the hub speaks TLS only. Read again when it changes.",
            extra={"metavar": "FILE", "default": "no TLS", "expects": "a file"},
        ),
    ] = None

    tls_key: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="PEM file of the certificate's private key, without a password.",
            extra={"metavar": "FILE", "default": "the file of tls_cert", "expects": "a file"},
        ),
    ] = None

    tls_client_ca: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="PEM file of the authorities whose certificates clients may show instead "
            "of a token.",
            extra={"metavar": "FILE", "default": "none are asked for", "expects": "a file"},
        ),
    ] = None

    auth: Annotated[
        Literal["loopback", "required", "none"],
        Meta(
            description="Who is asked for a token. With loopback nobody is asked where all "
            "addresses to listen on are loopback ones, and everybody elsewhere; behind a proxy or "
            "a published port it should be required. With none nobody is asked.",
        ),
    ] = "loopback"

    legacy_until: Annotated[
        str | None,
        Meta(
            pattern=LEGACY_UNTIL,
            description="Date until which a hub that asks for tokens takes requests without one on "
            "the routes of the legacy service, in the default namespace, while its callers are "
            "given tokens.",
            extra={
                "metavar": "DATE",
                "default": "none are taken",
                "expects": "a date such as 2027-01-31, or 2027-01-31T12:00:00Z; UTC",
                "reloads": True,
            },
        ),
    ] = None

    insecure: Annotated[
        bool,
        Meta(description="Let auth be none on addresses that other machines can reach."),
    ] = False

    tls_principals: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="TOML file that gives subjects of client certificates a role, a "
            "namespace and names, as tokens have them. Read again when it changes.",
            extra={"metavar": "FILE", "default": "no certificate is one", "expects": "a file"},
        ),
    ] = None

    jwt_keys: Annotated[
        str | None,
        Meta(
            min_length=1,
            pattern=r"^(?![A-Za-z0-9+.-]+://).*|https?://[^\s@/?#]+(?:[/?][^\s#]*)?$",
            description="JSON Web Key Set, a file or a URL, of those who sign JWTs that stand for "
            "tokens; signed with RS256, ES256 or EdDSA. Read again when it changes.",
            extra={
                "metavar": "FILE|URL",
                "default": "no JWT is one",
                "expects": "a file, or a URL with https",
            },
        ),
    ] = None

    jwt_issuer: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="What the claim iss of a JWT must be.",
            extra={"metavar": "TEXT", "default": "anything", "expects": "text"},
        ),
    ] = None

    jwt_audience: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="What the claim aud of a JWT must have. Without this a JWT that has the "
            "claim is refused, since it is meant for somebody else.",
            extra={"metavar": "TEXT", "default": "no JWT with aud", "expects": "text"},
        ),
    ] = None

    operator_token_sha256: Annotated[
        str,
        Meta(
            pattern=r"^[0-9A-Fa-f]{64}(,[0-9A-Fa-f]{64}){0,7}$",
            description="SHA-256 of an operator's token that is in no store; several, separated "
            "by commas, while one is changed.",
            extra={
                "metavar": "HEX",
                "reloads": True,
                "default": "none",
                "expects": "64 hexadecimal digits, or several times that with commas between",
            },
        ),
    ] = ""

    allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(pattern=HOST)], ...],
        Meta(
            max_length=256,
            description="Names under which callers may reach this hub, as `Host` has them, beside "
            "localhost and the addresses to listen on; `*.example.org` stands for all names below "
            "it. Where callers are asked for a token, any name will do unless this is given.",
            extra={
                "metavar": "NAME,…",
                "default": "none",
                "expects": "names or addresses without ports, with commas between them",
            },
        ),
    ] = ()

    allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=ORIGIN)], ...],
        Meta(
            max_length=256,
            description="Web sites, beside the hub's own pages, whose pages may use this hub.",
            extra={
                "metavar": "ORIGIN,…",
                "default": "none",
                "expects": "origins such as https://example.org, with commas between them",
            },
        ),
    ] = ()

    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Hub processes that share the port, on Linux; they need a store that all "
            "of them can reach, so not memory://.",
            extra={"metavar": "COUNT"},
        ),
    ] = 1

    redis: Annotated[
        str | None,
        Meta(
            description="Where to store: redis://[USER:PASSWORD@]HOST:PORT[/DB]; "
            "redis+sentinel://HOST:PORT,…/PRIMARY[/DB] or redis+cluster://HOST:PORT,…, likewise "
            "with USER:PASSWORD@; any of them with rediss for TLS; unix:///SOCKET; or memory:// "
            "to keep nothing.",
            extra={
                "metavar": "URL",
                "default": "an embedded server with its data in the data directory",
            },
        ),
    ] = None

    data_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="Directory of the embedded store's data; one hub at a time uses it.",
            extra={
                "metavar": "DIRECTORY",
                "default": "the user's data directory",
                "expects": "a directory",
            },
        ),
    ] = msgspec.field(default_factory=default_data_dir)

    hub_id: Annotated[
        str,
        Meta(
            pattern=HUB_ID,
            description="Name of this hub; no other hub on the same Redis may have it.",
            extra={
                "metavar": "NAME",
                "default": "HOSTNAME-PORT",
                "expects": "1 to 64 letters, digits, dots, underscores or hyphens",
            },
        ),
    ] = ""

    key_prefix: Annotated[
        str,
        Meta(
            max_length=128,
            pattern=r"^[^\s\x00-\x1f\x7f]*$",
            description="What goes before all keys in Redis.",
            extra={
                "metavar": "PREFIX",
                "default": "nothing",
                "expects": "at most 128 characters without spaces",
            },
        ),
    ] = ""

    heartbeat_interval: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds between heartbeats that agents are told.",
            extra={"metavar": "SECONDS"},
        ),
    ] = 30.0

    heartbeat_timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds of silence after which an agent is unreachable.",
            extra={"metavar": "SECONDS"},
        ),
    ] = 45.0

    lease_ttl: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds that an unreachable agent stays visible before it is removed, "
            "and the time to live of its entry in Redis.",
            extra={"metavar": "SECONDS"},
        ),
    ] = 60.0

    resume_window: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds in which a lost websocket may be resumed before the agent is "
            "unreachable.",
            extra={"metavar": "SECONDS"},
        ),
    ] = 5.0

    loss_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="When more than this share of the agents (and at least 10) is lost within "
            "a minute, none of these is removed before the loss is acknowledged; 1 turns that off.",
            extra={"metavar": "SHARE"},
        ),
    ] = 0.15

    loss_hold: Annotated[
        float | None,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds after its loss at which such an agent is removed although nobody "
            "has acknowledged that.",
            extra={
                "metavar": "SECONDS",
                "default": "600, and two lease_ttl where fewer than 50 agents are reachable",
            },
        ),
    ] = None

    log_format: Annotated[
        Literal["console", "json"],
        Meta(
            description="Logs for people, or one JSON object a line.",
            extra={"reloads": True},
        ),
    ] = "console"

    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        Meta(
            description="The least serious level that is logged.",
            extra={"reloads": True},
        ),
    ] = "info"

    audit_log: Annotated[
        str | None,
        Meta(
            min_length=1,
            description="File to which a line of JSON is appended for each registration, "
            "takeover, end, refusal, and act of an operator; - for standard output. SIGHUP opens "
            "it again.",
            extra={"metavar": "FILE", "default": "none", "expects": "a file, or -"},
        ),
    ] = None

    max_frame_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16 * 1024 * 1024,
            description="Largest websocket message that is accepted, in bytes.",
            extra={"metavar": "BYTES"},
        ),
    ] = MAX_FRAME_BYTES

    max_body_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16 * 1024 * 1024,
            description="Largest HTTP body that is accepted, in bytes.",
            extra={"metavar": "BYTES"},
        ),
    ] = MAX_FRAME_BYTES

    max_connections: Annotated[
        int | None,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections that a hub holds; more are answered 503.",
            extra={
                "metavar": "COUNT",
                "default": "as many as the limit of open files allows, which also bounds it",
                "reloads": True,
            },
        ),
    ] = None

    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Connections of one address, or of one /64 of IPv6; more are answered "
            "429. 0 for no limit, since a fleet may come through one proxy.",
            extra={"metavar": "COUNT", "reloads": True},
        ),
    ] = 0

    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(pattern=NETWORK)], ...],
        Meta(
            max_length=256,
            description="Proxies, by address or network, whose X-Forwarded-For says whom a request "
            "is from, for limits and logs, and X-Forwarded-Proto whether they added TLS; their own "
            "connections have no limit per address.",
            extra={
                "metavar": "ADDRESS,…",
                "default": "none",
                "expects": "addresses or networks such as 10.0.0.0/8, with commas between them",
            },
        ),
    ] = ()

    max_handshakes: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections that have not yet sent the head of a request; beyond it the "
            "oldest are closed.",
            extra={"metavar": "COUNT", "reloads": True},
        ),
    ] = 1024

    handshake_timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds in which a new connection must begin a request, and complete it "
            "if it is a websocket's handshake.",
            extra={"metavar": "SECONDS", "reloads": True},
        ),
    ] = 10.0

    request_timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds in which an HTTP request must arrive, its head and body together.",
            extra={"metavar": "SECONDS", "reloads": True},
        ),
    ] = 30.0

    log_length: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Directory changes that are kept, for watches that resume.",
            extra={"metavar": "COUNT"},
        ),
    ] = 50_000

    max_log_bytes: Annotated[
        int,
        Meta(
            ge=64 * 1024,
            le=1 << 40,
            description="Bytes of the directory changes that are kept, in Redis and in memory, "
            "if that is fewer than `log_length`.",
            extra={"metavar": "BYTES"},
        ),
    ] = Limits().max_log_bytes

    max_agents: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Agents of one namespace; more are refused.",
            extra={"metavar": "COUNT"},
        ),
    ] = Limits().max_agents

    max_agent_bytes: Annotated[
        int,
        Meta(
            ge=64 * 1024,
            le=1 << 40,
            description="Bytes of all records of one namespace, as JSON; beyond it new agents and "
            "larger metadata or capabilities are refused.",
            extra={"metavar": "BYTES"},
        ),
    ] = Limits().max_agent_bytes

    max_namespaces: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Namespaces that one hub serves.",
            extra={"metavar": "COUNT"},
        ),
    ] = 1000

    open_namespaces: Annotated[
        int | None,
        Meta(
            ge=0,
            le=1_000_000,
            description="Namespaces that callers without a token may make, by registering in one, "
            "besides the default one; a token makes its own.",
            extra={
                "metavar": "COUNT",
                "default": "100 where a hub on a loopback address asks nobody for a token, else 0",
            },
        ),
    ] = None

    max_watches: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Watches that one connection may hold.",
            extra={"metavar": "COUNT"},
        ),
    ] = Limits().max_watches

    max_unsent_bytes: Annotated[
        int,
        Meta(
            ge=4 * 1024 * 1024,
            le=1 << 40,
            description="Bytes that one peer may leave unread; beyond that it is closed.",
            extra={"metavar": "BYTES"},
        ),
    ] = MAX_UNSENT_BYTES

    max_total_unsent_bytes: Annotated[
        int,
        Meta(
            ge=4 * 1024 * 1024,
            le=1 << 40,
            description="Bytes that all peers of a hub together may leave unread; beyond it those "
            "with the most are closed.",
            extra={"metavar": "BYTES"},
        ),
    ] = MAX_TOTAL_UNSENT_BYTES

    max_unparsed_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            le=1 << 40,
            description="Bytes that all peers of a hub together may have sent at once and that "
            "wait to be parsed; beyond it a peer is closed that sends more than a little at once.",
            extra={"metavar": "BYTES"},
        ),
    ] = 64 * 1024 * 1024

    send_timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR,
            description="Seconds after which a peer is closed that reads nothing of what was sent.",
            extra={"metavar": "SECONDS"},
        ),
    ] = Timing().send_timeout

    max_rate: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Messages, fragments and control frames that one connection may send a "
            "second; 0 for no limit.",
            extra={"metavar": "COUNT", "reloads": True},
        ),
    ] = 5000

    burst: Annotated[
        int | None,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="How many of them it may send at once, after a pause.",
            extra={"metavar": "COUNT", "default": "max_rate", "reloads": True},
        ),
    ] = None

    max_registrations_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Registrations that one principal (a token, a JWT's subject, a client "
            "certificate) may ask for a second; 0 for no limit. Where nobody is asked for a token "
            "there is none.",
            extra={"metavar": "COUNT", "reloads": True},
        ),
    ] = 500

    registration_burst: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="How many of them it may ask for at once, after a pause.",
            extra={"metavar": "COUNT", "reloads": True},
        ),
    ] = 10_000

    def __post_init__(self) -> None:
        if not self.hub_id:
            msgspec.structs.force_setattr(self, "hub_id", default_hub_id(self.port, self.workers))

    @property
    def limits(self) -> Limits:
        """Those among them that bound what one namespace takes."""
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})

    @property
    def timing(self) -> Timing:
        """The times among them. Raises ImpossibleTimesError when they cannot work."""
        return Timing(**{name: getattr(self, name) for name in Timing.__struct_fields__})


def describe(settings: Settings) -> dict[str, object]:
    """The settings for a log line: names and values, without secrets."""
    described: dict[str, object] = msgspec.structs.asdict(settings)
    if settings.operator_token_sha256:  # the token may have been chosen by a person
        described["operator_token_sha256"] = "given"  # noqa: S105 - and is not logged
    if settings.jwt_keys is not None and "://" in settings.jwt_keys:
        described["jwt_keys"] = settings.jwt_keys.partition("?")[0]
    if settings.redis is None:
        described["redis"] = "embedded"
    else:
        described["redis"] = redact_text(settings.redis)
        del described["data_dir"]  # not used
    return described
