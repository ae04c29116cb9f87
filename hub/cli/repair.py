"""`homeport repair`: set aside what in the store no hub can read."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from hub.cli.options import examples
from hub.cli.output import show
from hub.errors import HubError
from hub.settings import FIELDS, Settings, Source
from hub.telemetry import logs


@click.command(
    short_help="Set aside what in the store cannot be read.",
    epilog=examples(
        "homeport repair --dry-run                          what would be done?",
        "homeport repair --data-dir /var/lib/homeport       while its hub is stopped",
        "homeport repair --redis redis://127.0.0.1:6379/0   hubs may run meanwhile",
    ),
)
@click.option("--redis", metavar="URL", help=f"The store.  [{FIELDS['redis'].variable}]")
@click.option(
    "--data-dir",
    metavar="DIRECTORY",
    help=f"The directory of an embedded store, whose hub is stopped.  "
    f"[{FIELDS['data_dir'].variable}; default: {FIELDS['data_dir'].default_text}]",
)
@click.option("--key-prefix", metavar="PREFIX", help=FIELDS["key_prefix"].help)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def repair(dry_run: bool, **given: Any) -> int:
    """Check the store, and set aside what no hub can read, so that hubs can use the rest.

    Without --redis it is the embedded store. Its append-only files are cut after their last
    whole command; what is cut off goes to a file set-aside-… in the data directory. Keys that
    hold something else than a hub writes there are renamed set-aside:…. Nothing is deleted.

    Prints a line for each thing that it does.
    """
    settings = Source(given).load()
    logs.configure(settings.log_format, "warning")
    embedded = given["data_dir"] is not None and given["redis"] is None
    if embedded or settings.redis is None:
        done = asyncio.run(_repair_embedded(settings, dry_run))
    else:
        done = asyncio.run(_repair_redis(settings.redis, settings, dry_run))
    if not done:
        show("There is nothing to repair.")
    return 0


async def _repair_embedded(settings: Settings, dry_run: bool) -> int:
    from hub.engine import EmbeddedEngine, repair_data  # noqa: PLC0415 - other commands need none

    done = repair_data(settings.data_dir, dry_run=dry_run)
    for line in done:
        show(line)
    if done and dry_run:  # a server could not load it, or would change it
        show("The keys in it can be checked once this is done.")
        return len(done)
    engine = EmbeddedEngine(settings.data_dir)
    url = await engine.start()
    try:
        return len(done) + await _repair_at(url, settings, dry_run)
    finally:
        await engine.stop()


async def _repair_redis(url: str, settings: Settings, dry_run: bool) -> int:
    from hub.store import StoreUnavailableError  # noqa: PLC0415

    try:
        return await _repair_at(url, settings, dry_run)
    except StoreUnavailableError as error:
        raise HubError(f"Redis at {logs.redact_text(url)} cannot be used: {error}") from None


async def _repair_at(url: str, settings: Settings, dry_run: bool) -> int:
    from hub.store import connect, repair  # noqa: PLC0415

    count = 0
    backend = await connect(url, hub_id="repair", command_timeout=10.0)
    try:
        async for line in repair(backend, settings.key_prefix, dry_run=dry_run):
            count += 1
            show(line)
    finally:
        await backend.aclose()
    return count
