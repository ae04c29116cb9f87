"""The options that choose a hub, and the examples at the end of a command's help."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from agent_client.errors import BadRequest, BadURL
from agent_client.transport.credentials import (
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Credentials,
    bearer,
)
from agent_client.transport.headers import (
    HEADERS_VARIABLE,
    Headers,
    check_authorization,
    header_lines,
    user_headers,
)
from agent_client.transport.tls import (
    CA_FILE_VARIABLE,
    CLIENT_CERT_VARIABLE,
    CLIENT_KEY_VARIABLE,
    Tls,
)
from agent_client.transport.urls import DEFAULT_URL, hub_urls, without_secrets
from homeport_protocol.namespaces import DEFAULT_NAMESPACE, NAMESPACE_RULE, is_namespace


class Files(NamedTuple):
    """Those that the options name; each of them is also read from its variable."""

    token_file: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class Target(NamedTuple):
    """The hub that a command connects to (several URLs are tried in turn), and the credentials.

    `token` and `files` are what options gave. What is None is for the client to find elsewhere.
    """

    urls: list[str]
    namespace: str | None
    token: str | None
    headers: Headers
    files: Files = Files()

    def __repr__(self) -> str:
        return f"<target {self.shown}>"

    @property
    def shown(self) -> str:
        """The URLs without secrets, for messages."""
        return ", ".join(map(without_secrets, self.urls))

    @property
    def client(self) -> dict[str, Any]:
        """The arguments of a client for it, but `url`."""
        return {
            "namespace": self.namespace,
            "token": self.token,
            "headers": self.headers,
            **self.files._asdict(),
        }


def _given_by(context: click.Context, parameter: click.Parameter) -> str:
    """What to blame for a value: the variable or the option, whichever gave it."""
    assert parameter.name is not None
    if context.get_parameter_source(parameter.name) is ParameterSource.ENVIRONMENT:
        return str(parameter.envvar)
    return f"'{parameter.opts[0]}'"


def _read_urls(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[str] | None:
    if text is None:
        return None
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
        except BadRequest as error:
            words = error.message.removeprefix("it: ")
            raise click.BadParameter(words, param_hint=_given_by(context, parameter)) from None
    return _unless_from_environment(context, parameter, token)


def _unless_from_environment(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """None for a variable's value: the client reads the variable, and knows which one counts."""
    assert parameter.name is not None
    source = context.get_parameter_source(parameter.name)
    return None if source is ParameterSource.ENVIRONMENT else value


def _file_option(option: str, variable: str, words: str) -> Callable[..., Any]:
    return click.option(
        option,
        envvar=variable,
        callback=_unless_from_environment,
        type=click.Path(),
        metavar="FILE",
        help=f"{words}  [{variable}]",
    )


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


_URL = click.option(
    "--url",
    "urls",
    envvar="HOMEPORT_URL",
    default=DEFAULT_URL,
    callback=_read_urls,
    metavar="URL",
    help=f"The hub; several, separated by commas, are tried in turn.  [HOMEPORT_URL; "
    f"default: {DEFAULT_URL}]",
)

_NAMESPACE = click.option(
    "--namespace",
    callback=_check_namespace,
    metavar="NAME",
    help=f"The namespace whose agents are meant.  [default: {DEFAULT_NAMESPACE}]",
)

_OPTIONAL_URL = click.option(
    "--url",
    "urls",
    envvar="HOMEPORT_URL",
    callback=_read_urls,
    metavar="URL",
    help="A hub to ask, instead of the store; several, separated by commas, are tried in turn.  "
    "[HOMEPORT_URL]",
)

_CREDENTIALS = (
    click.option(
        "--token",
        envvar=TOKEN_VARIABLE,
        callback=_check_token,
        metavar="TOKEN",
        help="The token to show to the hub. Others on this machine can read a command line: "
        "prefer the variable, a file, or a URL such as http://agent:TOKEN@hub:8080 in HOMEPORT_URL."
        "  [HOMEPORT_TOKEN]",
    ),
    _file_option(
        "--token-file",
        TOKEN_FILE_VARIABLE,
        "A file that holds the token; read again at each connection.",
    ),
    _file_option(
        "--ca-file",
        CA_FILE_VARIABLE,
        "Certificates to trust for https://, instead of the system's (PEM).",
    ),
    _file_option(
        "--client-cert", CLIENT_CERT_VARIABLE, "A certificate to show to the hub, with its chain."
    ),
    _file_option("--client-key", CLIENT_KEY_VARIABLE, "Its key, unless that is in the same file."),
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
    def with_target(*args: Any, urls: list[str], namespace: str | None, **kwargs: Any) -> Any:
        target = _target(urls, namespace, kwargs)
        return command(*args, target=target, **kwargs)

    for option in reversed((_URL, _NAMESPACE, *_CREDENTIALS)):
        with_target = option(with_target)
    return with_target


def optional_hub_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same without a default and a namespace: `target` is None where no hub is named."""

    @functools.wraps(command)
    def with_target(*args: Any, urls: list[str] | None, **kwargs: Any) -> Any:
        target = _target(urls or [], None, kwargs)
        return command(*args, target=target if urls else None, **kwargs)

    for option in reversed((_OPTIONAL_URL, *_CREDENTIALS)):
        with_target = option(with_target)
    return with_target


def _target(urls: list[str], namespace: str | None, options: dict[str, Any]) -> Target:
    """The target, whose options are taken out of `options`."""
    token, headers = options.pop("token"), options.pop("headers")
    files = Files(**{name: options.pop(name) for name in Files._fields})
    target = Target(urls, namespace, token, headers, files)
    if urls:
        _check_together(target)
    return target


def _check_together(target: Target) -> None:
    try:
        credentials = Credentials(target.token, target.files.token_file)
        for url in hub_urls(target.urls):
            check_authorization(target.headers, credentials.of(url))
        Tls(*target.files[1:])
    except BadRequest as error:
        raise click.UsageError(error.message) from None


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, instead of a table."
)


def examples(*lines: str) -> str:
    """The end of a command's help: commands to copy, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
