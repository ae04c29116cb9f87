"""The filter options, the same for every command that queries agents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from homeport_protocol.bounds import STATUSES
from homeport_protocol.codec import convert
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter

Command = Callable[..., Any]

_OPTIONS = (
    click.option("--type", "type_", metavar="TYPE", help="Agents of this type."),
    click.option("--name", metavar="NAME", help="Agents of exactly this name."),
    click.option(
        "--capability",
        "capabilities",
        metavar="C",
        multiple=True,
        help="Agents that can do this; repeat it for agents that can do all of them.",
    ),
    click.option(
        "--any-capability",
        metavar="C",
        multiple=True,
        help="Repeat it for agents that can do at least one of these.",
    ),
    click.option(
        "--status",
        type=click.Choice(STATUSES),
        multiple=True,
        help="Agents of this status; repeat it to accept several.",
    ),
    click.option("--host", metavar="HOST", help="Agents that listen on this host."),
    click.option(
        "--version",
        metavar="SPECIFIER",
        help='Agents whose version satisfies a specifier, such as ">=1.2,<2" or "==9f3c2ab".',
    ),
    click.option(
        "--meta",
        "metadata",
        metavar="KEY=VALUE",
        multiple=True,
        help="Agents with this metadata (repeatable); a dotted KEY reaches inside, VALUE is a "
        "JSON number, true, false, null or quoted string, else plain text.",
    ),
)


def filter_options(command: Command) -> Command:
    """Add the filter's options to `command`, which gets a Filter as the argument `filter`."""

    @functools.wraps(command)
    def with_filter(
        *args: Any,
        type_: str | None,
        name: str | None,
        capabilities: Sequence[str],
        any_capability: Sequence[str],
        status: Sequence[str],
        host: str | None,
        version: str | None,
        metadata: Sequence[str],
        **kwargs: Any,
    ) -> Any:
        given = {
            "type": type_,
            "name": name,
            "capabilities": list(capabilities) or None,
            "any_capability": list(any_capability) or None,
            "status": list(status) or None,
            "host": host,
            "version": version,
            "metadata": read_pairs(metadata) or None,
        }
        chosen = {key: value for key, value in given.items() if value is not None}
        try:
            filter = convert(chosen, Filter)
        except ProtocolError as error:
            raise click.UsageError(error.message) from None
        if version is not None:
            _check_specifier(version)
        return command(*args, filter=filter, **kwargs)

    for option in reversed(_OPTIONS):
        with_filter = option(with_filter)
    return with_filter


def _check_specifier(text: str) -> None:
    """Raise click.BadParameter for a specifier that a hub would refuse."""
    from actors.directory.versions import compile_specifier  # noqa: PLC0415 - rarely needed

    try:
        compile_specifier(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--version'") from None


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Convert `KEY=VALUE` texts to metadata; raises click.BadParameter for any other text."""
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(
                f"{pair!r} is not of the form KEY=VALUE", param_hint="'--meta'"
            )
        metadata[key] = read_value(value)
    return metadata


def read_value(text: str) -> Any:
    """The value of a JSON scalar; any other text unchanged."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text
    return text if isinstance(value, dict | list) else value
