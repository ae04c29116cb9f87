"""`homeport bench`: run the program `bench`, which has the load tests."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from hub.cli.options import examples


@click.command(
    short_help="Run load tests, and see how fast a hub is.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "homeport bench                                    what can be run?",
        "homeport bench heartbeats --json > before.json    how fast is a hub here?",
        "homeport bench heartbeats --url http://hub:8080   and how fast is that one?",
        "homeport bench compare before.json after.json     what has changed?",
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Run scenarios of the bench; without arguments, list them."""
    # The hub does not import the bench, which depends on it.
    spec = importlib.util.find_spec("bench")
    if spec is None or spec.origin is None:  # without origin it is a directory, not the package
        raise click.ClickException(
            "the load tests are not installed; run them in a checkout of Homeport"
        )
    # `-P`: a file bench.py in the working directory must not be run instead.
    command = [sys.executable, "-P", "-m", "bench", *arguments]
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    sys.stdout.flush()
    called = {"PYTHONPATH": path, "_HOMEPORT_PROGRAM": "homeport bench"}
    os.execve(command[0], command, {**os.environ, **called})  # noqa: S606
