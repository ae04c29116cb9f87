"""`homeport serve`: run a hub with the settings of flags, environment and file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hub.cli.options import examples
from hub.cli.output import show
from hub.process.signals import ignore_until_serving
from hub.settings import FIELDS, Field, Source


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
            metavar="|".join(field.choices) or field.metavar,
            help=f"{field.help}  [{field.variable}; default: {field.default_text}]",
        )(command)
    return command


@click.command(
    short_help="Run a hub.",
    epilog=examples(
        "homeport serve",
        "homeport serve --host 0.0.0.0 --port 9000",
        "homeport serve --redis redis://127.0.0.1:6379/0",
        "homeport serve --redis memory://        keeps nothing, for a trial",
        "homeport serve --workers 4              uses four cores",
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

    Prints one line with its URL on stdout once it listens; its log goes to stderr. Without
    --redis it starts a private store of its own, so that a restart loses nothing. With
    --workers several hubs share the port and the store, and one that dies is started again.

    A flag beats the environment variable named in brackets, which beats the file. PORT,
    REDIS_ADDR and REDIS_PASSWORD of the legacy service are honoured. SIGHUP reads all of
    them again: the log says what changed, and what needs a restart.
    """
    ignore_until_serving()
    source = Source(flags, config)
    settings = source.load()
    if settings.redis is not None and "?" in settings.redis:
        # Only the library knows its options; check them here, before each worker fails on them.
        from hub.store.backends.connect import backend_of  # noqa: PLC0415

        backend_of(settings.redis)
    # Imported here: other commands do not need the server and the time to import it, and the
    # parent of workers needs no server either.
    if settings.workers > 1:
        from hub.process.workers import run  # noqa: PLC0415
    else:
        from hub.process.run import run  # noqa: PLC0415
    return run(settings, show, source)
