"""Where values come from: a flag overrides the environment, which overrides the TOML file."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from actors.timing import ImpossibleTimesError
from hub.errors import HubError
from hub.settings.fields import FIELDS, Field
from hub.settings.model import MAX_HUB_ID, Settings, default_data_dir, worker_id

FILES = ("tls_cert", "tls_key", "tls_client_ca", "tls_principals", "jwt_keys")
"""Settings that name files; a relative path is of the directory that the hub starts in."""

_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


class SettingsError(HubError):
    """A setting is wrong; the sentence says which one, where it was given, and what is expected."""

    status = 2


class Given(Struct, frozen=True):
    """A value and where it was given, in the user's terms."""

    value: object
    source: str


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_path: str | None = None,
) -> Settings:
    """All settings, each from the first source that gives it.

    `flags` has the options of the command line by setting name, None for those that were not given.
    `config_path` is the TOML file; without it the variable HOMEPORT_CONFIG may name one. Empty
    variables count as not given. Raises SettingsError.
    """
    unknown = flags.keys() - FIELDS.keys()
    if unknown:
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    from_file = _read_file(config_path, environ)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, field in FIELDS.items():
        given = (
            _from_flags(field, flags)
            or _from_environment(field, environ)
            or _from_legacy(field, environ)
            or from_file.get(name)
        )
        if given is None:
            continue
        try:
            values[name] = field.parse(given.value)
        except ValueError as error:
            raise SettingsError(f"{given.source}: {error}") from None
        sources[name] = given.source
    data_dir = values.get("data_dir") or default_data_dir(environ)
    values["data_dir"] = os.path.abspath(os.path.expanduser(data_dir))
    for name in FILES:
        if values.get(name) is not None and "://" not in values[name]:
            values[name] = os.path.abspath(os.path.expanduser(values[name]))
    settings = Settings(**values)
    _check_together(settings, sources)
    return settings


def find_given(
    name: str, flags: Mapping[str, object], environ: Mapping[str, str], config_path: str | None
) -> Given | None:
    """What was given for one setting, whatever the others are; None if nothing was.

    Raises SettingsError for a file that cannot be read.
    """
    field = FIELDS[name]
    given = _from_flags(field, flags) or _from_environment(field, environ)
    given = given or _from_legacy(field, environ)
    return given or _read_file(config_path, environ, only=name).get(name)


def _from_flags(field: Field, flags: Mapping[str, object]) -> Given | None:
    value = flags.get(field.name)
    return None if value is None else Given(value, field.flag)


def _from_environment(field: Field, environ: Mapping[str, str]) -> Given | None:
    value = environ.get(field.variable, "")
    # Kubernetes sets HOMEPORT_PORT=tcp://… in every pod next to a service named "homeport".
    if not value or (field.name == "port" and _SERVICE_LINK.match(value)):
        return None
    return Given(value, field.variable)


def _from_legacy(field: Field, environ: Mapping[str, str]) -> Given | None:
    """The variables of the legacy service, with its default address."""
    if field.name == "port" and environ.get("PORT"):
        return Given(environ["PORT"], "PORT")
    if field.name != "redis":
        return None
    address, password = environ.get("REDIS_ADDR", ""), environ.get("REDIS_PASSWORD", "")
    if not address and not password:
        return None
    match = _ADDRESS.fullmatch(address or "localhost:6379")
    if match is None or not 0 < int(match["port"] or 6379) <= 65535:
        raise SettingsError(
            "REDIS_ADDR: expected HOST:PORT; a Redis URL goes into HOMEPORT_REDIS or --redis"
        )
    login = f":{quote(password, safe='')}@" if password else ""
    return Given(f"redis://{login}{match['host']}:{match['port'] or 6379}", "REDIS_ADDR")


def _read_file(
    path: str | None, environ: Mapping[str, str], only: str | None = None
) -> dict[str, Given]:
    named_by = "--config"
    if path is None:
        path, named_by = environ.get("HOMEPORT_CONFIG") or None, "HOMEPORT_CONFIG"
    if path is None:
        return {}
    try:
        with open(os.path.expanduser(path), "rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{named_by}: cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{named_by}: {path} is not valid TOML: {error}") from None
    label = os.path.basename(path)
    return {
        name: _from_table(name, value, label)
        for name, value in table.items()
        if only in (None, name)
    }


def _from_table(name: str, value: object, label: str) -> Given:
    field = FIELDS.get(name)
    if field is None:
        near = difflib.get_close_matches(name.replace("-", "_").lower(), FIELDS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(FIELDS)}"
        raise SettingsError(f"{name} in {label}: no such setting{hint}")
    source = f"{name} in {label}"
    if isinstance(value, str) and field.kind in ("whole", "number"):
        raise SettingsError(f"{source}: expected {field.expects}, got text; write it unquoted")
    return Given(value, source)


def _check_together(settings: Settings, sources: Mapping[str, str]) -> None:
    try:
        _ = settings.timing
    except ImpossibleTimesError as error:
        blamed = next(sources[name] for name in error.names if name in sources)
        raise SettingsError(f"{blamed}: {error}") from None
    for network in settings.trusted_proxies:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise SettingsError(
                f"{sources['trusted_proxies']}: expected {FIELDS['trusted_proxies'].expects}, "
                f"got {network!r}"
            ) from None
    for name in ("tls_key", "tls_client_ca"):
        if name in sources and settings.tls_cert is None:
            raise SettingsError(f"{sources[name]}: there is no TLS without tls_cert; give it too")
    if settings.tls_principals is not None and settings.tls_client_ca is None:
        raise SettingsError(
            f"{sources['tls_principals']}: nobody can show a certificate without tls_client_ca; "
            "give it too"
        )
    for name in ("jwt_issuer", "jwt_audience"):
        if name in sources and settings.jwt_keys is None:
            raise SettingsError(f"{sources[name]}: there are no JWTs without jwt_keys; give it too")
    if settings.jwt_keys is not None and not _is_safe(settings.jwt_keys):
        raise SettingsError(
            f"{sources['jwt_keys']}: whoever changes an answer without TLS may do everything; "
            "use https"
        )
    if settings.legacy_until is not None:
        try:
            datetime.fromisoformat(settings.legacy_until)
        except ValueError:
            source, expects = sources["legacy_until"], FIELDS["legacy_until"].expects
            raise SettingsError(
                f"{source}: expected {expects}, got {settings.legacy_until!r}"
            ) from None
    if settings.workers > 1:
        _check_workers(settings, sources)


def _is_safe(source: str) -> bool:
    """Whether what is read there is what its owner wrote: a file, TLS, or this machine."""
    if not source.startswith("http:"):
        return True
    host = urlsplit(source).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_workers(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.redis is not None and settings.redis.startswith("memory:"):
        raise SettingsError(
            f"{sources['workers']}: workers with memory:// could not see each other's agents; "
            f"leave out {sources['redis']} for the embedded store, or give a Redis that all share"
        )
    if len(worker_id(settings.hub_id, settings.workers)) > MAX_HUB_ID:
        room = MAX_HUB_ID - len(worker_id("", settings.workers))
        raise SettingsError(
            f"{sources['hub_id']}: the names of {settings.workers} workers are made of it, which "
            f"leaves it at most {room} characters, got {len(settings.hub_id)}"
        )
