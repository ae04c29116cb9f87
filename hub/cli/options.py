"""The options that choose a hub, and the examples at the end of a command's help."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from agent_client.errors import BadRequest, BadURL
from agent_client.transport.headers import (
    HEADERS_VARIABLE,
    TOKEN_VARIABLE,
    Headers,
    bearer,
    header_lines,
    user_headers,
)
from agent_client.transport.urls import DEFAULT_URL, hub_urls, without_secrets
from homeport_protocol.namespaces import DEFAULT_NAMESPACE, NAMESPACE_RULE, is_namespace


class Target(NamedTuple):
    """The hub that a command connects to (several URLs are tried in turn), and the credentials."""

    urls: list[str]
    namespace: str | None
    token: str | None
    headers: Headers

    @property
    def shown(self) -> str:
        """The URLs without secrets, for messages."""
        return ", ".join(map(without_secrets, self.urls))


def _given_by(context: click.Context, parameter: click.Parameter) -> str:
    """What to blame for a value: the variable or the option, whichever gave it."""
    assert parameter.name is not None
    if context.get_parameter_source(parameter.name) is ParameterSource.ENVIRONMENT:
        return str(parameter.envvar)
    return f"'{parameter.opts[0]}'"


def _read_urls(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    urls = re.split(r"[,\s]+", text.strip(", \t"))
    try:
        hub_urls(urls)
    except BadURL as error:
        raise click.BadParameter(str(error), param_hint=_given_by(context, parameter)) from None
    return urls


def _check_token(
    context: click.Context, parameter: click.Parameter, token: str | None
) -> str | None:
    if token:
        try:
            bearer(token, "it")
        except BadRequest:
            raise click.BadParameter(
                "expected visible ASCII characters only", param_hint=_given_by(context, parameter)
            ) from None
    return token


def _check_namespace(
    context: click.Context, parameter: click.Parameter, namespace: str | None
) -> str | None:
    if namespace is not None and not is_namespace(namespace):
        raise click.BadParameter(f"{namespace!r} is not a namespace: {NAMESPACE_RULE}")
    return namespace


def _read_headers(
    context: click.Context, parameter: click.Parameter, lines: tuple[str, ...]
) -> Headers:
    try:
        return header_lines(lines, "--header") if lines else user_headers(None)
    except BadRequest as error:
        raise click.UsageError(error.message) from None


_OPTIONS = (
    click.option(
        "--url",
        "urls",
        envvar="HOMEPORT_URL",
        default=DEFAULT_URL,
        callback=_read_urls,
        metavar="URL",
        help=f"The hub; several, separated by commas, are tried in turn.  [HOMEPORT_URL; "
        f"default: {DEFAULT_URL}]",
    ),
    click.option(
        "--namespace",
        callback=_check_namespace,
        metavar="NAME",
        help=f"The namespace whose agents are meant.  [default: {DEFAULT_NAMESPACE}]",
    ),
    click.option(
        "--token",
        envvar=TOKEN_VARIABLE,
        callback=_check_token,
        metavar="TOKEN",
        help="The token to show to the hub. Others on this machine can read a command line: "
        "prefer the variable.  [HOMEPORT_TOKEN]",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        callback=_read_headers,
        metavar="'NAME: VALUE'",
        help="A header for a gateway in front of the hub; repeatable. Others on this machine can "
        f"read a command line: for secrets prefer the variable, one a line.  [{HEADERS_VARIABLE}]",
    ),
)


def hub_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a hub to `command`, which gets the argument `target`."""

    @functools.wraps(command)
    def with_target(
        *args: Any,
        urls: list[str],
        namespace: str | None,
        token: str | None,
        headers: Headers,
        **kwargs: Any,
    ) -> Any:
        return command(*args, target=Target(urls, namespace, token, headers), **kwargs)

    for option in reversed(_OPTIONS):
        with_target = option(with_target)
    return with_target


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, instead of a table."
)


def examples(*lines: str) -> str:
    """The end of a command's help: commands to copy, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
