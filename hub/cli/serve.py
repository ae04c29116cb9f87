"""`homeport serve`: run a hub with the settings of flags, environment and file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from hub.cli.options import examples
from hub.cli.output import show
from hub.errors import HubError
from hub.process.signals import ignore_until_serving
from hub.settings import FIELDS, Field, SettingsError, Source, unknown_variables
from hub.telemetry import logs
from hub.telemetry.line_writer import STDOUT

logger = logs.get("hub.settings")


def _reader(field: Field) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """The setting's parser as a callback for click, so that a wrong value is wrong usage."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return field.parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


def _completer(field: Field) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell completes a value to."""
    return lambda context, parameter, text: [c for c in field.choices if c.startswith(text)]


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for field in reversed(FIELDS.values()):
        command = click.option(
            field.flag,
            field.name,
            callback=_reader(field),
            shell_complete=_completer(field),
            is_flag=field.kind == "switch",
            flag_value="yes" if field.kind == "switch" else None,
            default=None,
            metavar="|".join(field.choices) or field.metavar,
            help=f"{field.help}  [{field.variable}; default: {field.default_text}]",
        )(command)
    return command


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the log of this command line is to be JSON, as far as can be told before it is read.

    Then everything that goes to stderr is.
    """
    if "serve" not in arguments[:1]:
        return False
    given = " ".join(arguments).replace("=", " ")
    if "--log-format" in given:
        return "--log-format json" in given
    try:
        named = Source({}, _config_of(arguments)).given("log_format")
        return named is not None and named.value == "json"
    except HubError:
        return False


def _config_of(arguments: Sequence[str]) -> str | None:
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config":
            return value if equals else next(iter(arguments[at + 1 :]), None)
    return None


@click.command(
    short_help="Run a hub.",
    epilog=examples(
        "homeport serve",
        "homeport serve --host 0.0.0.0 --port 9000",
        "homeport serve --redis redis://127.0.0.1:6379/0",
        "homeport serve --redis memory://        keeps nothing, for a trial",
        "homeport serve --workers 4              uses four cores",
        "homeport serve --host 0.0.0.0 --tls-cert hub.pem --tls-key hub.key",
        "homeport serve --config /etc/homeport.toml --log-format json",
    ),
)
@_setting_options
@click.option(
    "--config",
    "config",
    type=click.Path(),
    metavar="FILE",
    help="A TOML file with settings, named as here with _ for -.  [HOMEPORT_CONFIG]",
)
def serve(config: str | None, **flags: Any) -> int:
    """Run a hub until SIGTERM or Ctrl-C, which stop it gracefully; a second one ends it at once.

    Prints one line with its URL on stdout once it listens; its log goes to stderr, and with
    --audit-log - that line does too. Without --redis it starts a private store of its own, so
    that a restart loses nothing. With --workers several hubs share the port and the store, and
    one that dies is started again.

    A flag beats the environment variable named in brackets, which beats the file. PORT,
    REDIS_ADDR and REDIS_PASSWORD of the legacy service are honoured. SIGHUP reads all of
    them again: the log says what changed, and what needs a restart.
    """
    ignore_until_serving()
    source = Source(flags, config)
    settings = source.load()
    logs.configure(settings.log_format, settings.log_level)
    for sentence in unknown_variables(os.environ):
        logger.warning(sentence)
    if settings.redis is not None and "?" in settings.redis:
        # Only the library knows its options; check them here, before each worker fails on them.
        from hub.store.backends.connect import backend_of  # noqa: PLC0415

        try:
            backend_of(settings.redis)
        except HubError as error:
            given = source.given("redis")
            blamed = "--redis" if given is None else given.source
            raise SettingsError(f"{blamed}: {error}") from None
    # Imported here: other commands do not need the server and the time to import it, and the
    # parent of workers needs no server either.
    if settings.workers > 1:
        from hub.process.workers import run  # noqa: PLC0415
    else:
        from hub.process.run import run  # noqa: PLC0415
    # What reads an audit log from standard output expects nothing else there.
    announce = partial(click.echo, err=True) if settings.audit_log == STDOUT else show
    return run(settings, announce, source)
