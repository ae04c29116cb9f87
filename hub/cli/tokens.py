"""`homeport token`: make, list, show and revoke tokens, through a hub or on the store itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, get_args

import click
import msgspec
from rich.text import Text

from homeport_protocol.bounds import Role
from homeport_protocol.codec import convert
from homeport_protocol.errors import ProtocolError
from homeport_protocol.timestamps import parse_timestamp
from homeport_protocol.tokens import (
    DEFAULT_TTL,
    MAX_TTL,
    TOKEN_ID,
    TOKEN_PREFIX,
    TokenFacts,
    TokenRequest,
)
from hub.cli.columns import Column
from hub.cli.options import Target, examples, json_option, optional_hub_options
from hub.cli.output import is_terminal, note, now, show, show_json
from hub.cli.terminal import show_table
from hub.cli.text import age, ago, printable
from hub.cli.token_source import TokenSource, at_hub, in_store
from hub.settings import FIELDS, Source
from hub.telemetry import logs

T = TypeVar("T")

COLUMNS = (
    Column(heading="ID", rank=0, least=12, enough=12, essential=True),
    Column(heading="ROLE", rank=1, least=8, enough=8, essential=True),
    Column(heading="NAMESPACE", rank=3, least=9, enough=20),
    Column(heading="NAMES", rank=5, least=5, enough=30),
    Column(heading="STATE", rank=2, least=8, enough=20, essential=True),
    Column(heading="USES", rank=6, least=4, enough=9),
    Column(heading="USED", rank=4, least=4, enough=9),
    Column(heading="NOTE", rank=7, least=8, enough=40),
)
"""The columns of the table of tokens; USES are the registrations left, USED is how long ago."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TTL = re.compile(r"([0-9]{1,9})([smhd])")


def _read_ttl(context: click.Context, parameter: click.Parameter, text: str) -> float | None:
    if text == "never":
        return None
    found = _TTL.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= MAX_TTL:
        raise click.BadParameter(
            "expected a time such as 90d, 12h or 30m, at most ten years, or never"
        )
    return float(seconds)


def _check_id(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if text.startswith(TOKEN_PREFIX):
        # Not repeated: the shell's history has it by now, but no other log needs to.
        raise click.BadParameter("this is a token and not its id, which is between its two _")
    if not re.fullmatch(TOKEN_ID, text):
        raise click.BadParameter("expected the id of a token: 12 lower-case letters and digits")
    return text


_id_argument = click.argument("token_id", metavar="ID", callback=_check_id)

_STORE_OPTIONS = (
    click.option("--redis", metavar="URL", help=f"The store.  [{FIELDS['redis'].variable}]"),
    click.option(
        "--data-dir",
        metavar="DIRECTORY",
        help="The directory of an embedded store, whose hub may run.  "
        f"[{FIELDS['data_dir'].variable}; default: {FIELDS['data_dir'].default_text}]",
    ),
    click.option("--key-prefix", metavar="PREFIX", help=FIELDS["key_prefix"].help),
)


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_STORE_OPTIONS):
        command = option(command)
    return optional_hub_options(command)


@click.group(
    short_help="Make, list and revoke tokens.",
    epilog=examples(
        "homeport token create --role operator",
        "homeport token create --role agent --names 'web-*' --ttl 30d",
        "homeport token list --redis redis://127.0.0.1:6379/0",
        "homeport token revoke 4k2m9x7q1zab",
    ),
)
def token() -> None:
    """Make, list and revoke the tokens that programs show to a hub.

    A token is shown once, when it is made: what hubs keep of it does not reveal it. With --url a
    hub is asked, which takes an operator's token. Without it the store itself is used, that of
    --redis or the embedded one in --data-dir: so the first token is made. Its hubs may run, and
    know at once.
    """


@token.command(
    short_help="Make a token, and print it.",
    epilog=examples(
        "homeport token create --role operator",
        "homeport token create --role agent --names 'web-*' --uses 1 --ttl 1h",
        "homeport token create --role observer --namespace '*' --note dashboards --ttl never",
    ),
)
@click.option(
    "--role", required=True, type=click.Choice(get_args(Role)), help="What its holder may do."
)
@click.option(
    "--names",
    multiple=True,
    metavar="GLOB",
    help="Names of the agents that it may register, such as web-*; repeatable.  [default: *]",
)
@click.option(
    "--namespace",
    metavar="NAME",
    help="The namespace that it may use; * for all, for an operator or observer.  "
    "[default: *  for an operator, otherwise default]",
)
@click.option(
    "--ttl",
    callback=_read_ttl,
    default=f"{DEFAULT_TTL // 86400}d",
    show_default=True,
    metavar="TIME",
    help="How long it is good for: 90d, 12h, 30m or never.",
)
@click.option("--uses", type=int, metavar="N", help="New agents that it may register.")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@click.option("--json", "as_json", is_flag=True, help="Print the token and its facts as JSON.")
@_where
def create(as_json: bool, names: tuple[str, ...], target: Target | None, **given: Any) -> None:
    """Make a token, and print it on stdout. It is shown this once only."""
    fields = {name: given.pop(name) for name in ("role", "namespace", "ttl", "uses", "note")}
    try:
        request = convert({**fields, "names": list(names) or ["*"]}, TokenRequest, "--")
    except ProtocolError as error:
        raise click.UsageError(error.message) from None
    made = _ask(target, given, lambda source: source.create(request))
    if as_json:
        show_json(made)
        return
    show(made.token)
    if is_terminal():
        note(f"Its id is {made.id}. Keep it: it cannot be shown again.")


@token.command("list", short_help="List the tokens.")
@json_option
@_where
def list_all(as_json: bool, target: Target | None, **given: Any) -> None:
    """List the tokens, also those that were revoked or have run out of late.

    With --json: {"tokens": [...]}.
    """
    tokens = _ask(target, given, lambda source: source.all())
    if as_json:
        show_json({"tokens": tokens})
    elif tokens:
        instant = now()
        rows = [_row(each, instant) for each in tokens]
        show_table(COLUMNS, rows, [Text(f"{len(rows)} token{'' if len(rows) == 1 else 's'}")])
    else:
        show("There are no tokens.")


@token.command("show", short_help="Show one token's facts.")
@_id_argument
@json_option
@_where
def show_one(as_json: bool, token_id: str, target: Target | None, **given: Any) -> None:
    """Show what is known of a token; not the token itself, which nobody knows any more."""
    facts = _ask(target, given, lambda source: source.show(token_id))
    if as_json:
        show_json(facts)
        return
    instant = now()
    for name, value in (
        ("id", facts.id),
        ("state", _state(facts, instant)),
        ("role", facts.role),
        ("namespace", facts.namespace),
        ("names", ", ".join(facts.names)),
        ("created", facts.created),
        ("not after", facts.not_after or "never runs out"),
        ("uses left", "any number" if facts.uses is None else str(facts.uses)),
        ("last used", "never" if facts.last_used is None else ago(facts.last_used, instant)),
        ("revoked", facts.revoked or "no"),
        ("note", facts.note),
    ):
        show(f"{name:<10} {printable(value)}".rstrip())


@token.command(short_help="Revoke a token for good.")
@_id_argument
@json_option
@_where
def revoke(as_json: bool, token_id: str, target: Target | None, **given: Any) -> None:
    """Revoke a token for good, and end what goes on with it, at every hub within two seconds."""
    facts = _ask(target, given, lambda source: source.revoke(token_id))
    if as_json:
        show_json(facts)
    else:
        show(f"Revoked {facts.id}.")


def _ask(
    target: Target | None, given: dict[str, Any], ask: Callable[[TokenSource], Awaitable[T]]
) -> T:
    if target is not None and not (given["redis"] or given["data_dir"]):
        return asyncio.run(_ask_at(at_hub(target), ask))
    settings = Source(given).load()
    logs.configure(settings.log_format, "warning")
    if given["data_dir"] is not None and given["redis"] is None:
        settings = msgspec.structs.replace(settings, redis=None)
    return asyncio.run(_ask_at(in_store(settings), ask))


async def _ask_at(
    place: AbstractAsyncContextManager[TokenSource], ask: Callable[[TokenSource], Awaitable[T]]
) -> T:
    async with place as source:
        return await ask(source)


def _row(facts: TokenFacts, instant: float) -> tuple[str, ...]:
    cells = (
        facts.id,
        facts.role,
        facts.namespace,
        ", ".join(facts.names),
        _state(facts, instant),
        "" if facts.uses is None else str(facts.uses),
        "never" if facts.last_used is None else age(facts.last_used, instant),
        facts.note,
    )
    return tuple(map(printable, cells))


def _state(facts: TokenFacts, instant: float) -> str:
    if facts.revoked is not None:
        return "revoked"
    if facts.not_after is None:
        return "valid"
    left = parse_timestamp(facts.not_after) - instant
    if left <= 0:
        return "run out"
    unit = next((unit for unit in "dhm" if left >= 2 * _UNITS[unit]), "s")
    return f"valid for {int(left // _UNITS[unit])}{unit}"
