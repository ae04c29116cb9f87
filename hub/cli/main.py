"""The group `homeport`, and the one place that turns failures into messages and exit statuses."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from agent_client import HomeportError
from hub.cli.bench import bench
from hub.cli.child import CommandError
from hub.cli.hubs import acknowledge_loss, hubs
from hub.cli.options import examples
from hub.cli.output import note
from hub.cli.queries import agent, agents, pick
from hub.cli.remove import remove
from hub.cli.repair import repair
from hub.cli.serve import serve, wants_json
from hub.cli.sidecar import register
from hub.cli.text import one_line
from hub.cli.tokens import token
from hub.cli.watch import watch
from hub.errors import HubError
from hub.settings import unknown_variables
from hub.telemetry import logs
from hub.version import VERSION

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

_PROGRAM = "homeport"
_COMPLETION = "_HOMEPORT_COMPLETE"
_KIND_OF_NUMBER = re.compile(r"is not a valid (integer|float)(?: range)?")  # Click's words


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "homeport serve                                    run a hub",
        "homeport agents --status healthy                  who is well?",
        "homeport watch --type cost                        what is changing?",
        "homeport register --name web-1 --type application -- ./web-server",
    )
    + "\n\nExit status: 0 done, 1 failed, 2 wrong usage. Errors are one sentence on stderr; "
    "HOMEPORT_DEBUG=1 adds the traceback.",
)
@click.version_option(VERSION, prog_name=_PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Homeport: where a fleet of agents checks in.

    Run a hub, ask it who is there, watch the fleet live, or register a program from the shell.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(WRONG_USAGE)
    if context.invoked_subcommand != serve.name:  # whose log says so
        for sentence in unknown_variables(os.environ):
            note(f"{_PROGRAM}: warning: {sentence}" + ("" if sentence.endswith("?") else "."))


for _command in (
    serve,
    agents,
    agent,
    pick,
    watch,
    register,
    remove,
    hubs,
    acknowledge_loss,
    token,
    repair,
    bench,
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name); return the exit status.

    Every failure is reported here, in one sentence on stderr. Raises only ModuleNotFoundError, for
    a package that is not installed.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream may be closed, or replaced by a test
            stream.reconfigure(errors="backslashreplace")
    # The client's log would go to stderr line by line, where the commands report what matters.
    logging.getLogger("homeport.client").addHandler(logging.NullHandler())
    completion = os.environ.get(_COMPLETION)
    if completion:
        return shell_complete(cli, {}, _PROGRAM, _COMPLETION, completion)
    as_json = wants_json(arguments)
    try:
        with cli.make_context(_PROGRAM, list(arguments)) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        return _wrong_usage(error, as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 0  # the reader has read enough, as with `| head`
    except CommandError as error:
        _failed(str(error), as_json=as_json)
        return error.status
    except HubError as error:
        _failed(str(error), as_json=as_json)
        return error.status
    except (HomeportError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return _failed(text, as_json=as_json)
    except ModuleNotFoundError:
        raise
    except OSError as error:
        _forget_stdout()
        return _failed(_told(error), as_json=as_json)
    except Exception as error:
        return _failed(
            f"internal error: {type(error).__name__}: {one_line(str(error))}; "
            "run with HOMEPORT_DEBUG=1 for the traceback",
            as_json=as_json,
        )


def _told(error: OSError) -> str:
    """A failure of this machine in words: a full disk, too many open files."""
    reason = (error.strerror or str(error)).lower()
    frames = traceback.walk_tb(error.__traceback__)
    if any(frame.f_code is click.echo.__code__ for frame, _ in frames):
        return f"the output could not be written: {reason}"
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _failed(sentence: str, *, as_json: bool) -> int:
    debug = bool(os.environ.get("HOMEPORT_DEBUG"))
    # A URL or a token may stand where another argument should.
    sentence = logs.redact_text(one_line(sentence))
    if as_json:
        logs.configure("json")
        logs.get("hub").critical(sentence, exc_info=debug)
        return FAILED
    if debug:
        traceback.print_exc()
    note(f"{_PROGRAM}: {sentence}" + ("" if sentence.endswith("?") else "."))
    return FAILED


def _wrong_usage(error: click.UsageError, *, as_json: bool) -> int:
    path = error.ctx.command_path if error.ctx is not None else _PROGRAM
    message = logs.redact_text(one_line(error.format_message()))
    message = _KIND_OF_NUMBER.sub(_number_in_words, message)
    if not message[1:2].isupper():  # the name of a variable stays as it is
        message = message[:1].lower() + message[1:]
    if as_json:
        _failed(message, as_json=True)
        return WRONG_USAGE
    note(f'{path}: {message} (see "{path} --help").')
    return WRONG_USAGE


def _number_in_words(found: re.Match[str]) -> str:
    return "is not a whole number" if found[1] == "integer" else "is not a number"


def _forget_stdout() -> None:
    """Redirect stdout to nothing, so that the interpreter's last flush does not fail again."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, AttributeError):
        pass  # no file can be opened now, or stdout was closed from the start
