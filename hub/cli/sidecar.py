"""`homeport register`: register an agent from the shell, while the program runs that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import click

from agent_client import AgentClient, HomeportError, Lease
from agent_client.errors import BadRequest, CannotConnect, Fenced, TooLarge
from agent_client.transport.credentials import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE
from agent_client.transport.headers import HEADERS_VARIABLE
from agent_client.transport.urls import without_user
from homeport_protocol.bounds import STATUSES
from hub.cli.child import SIGNALLED, Child, Signals
from hub.cli.client import cannot_reach
from hub.cli.filters import read_pairs
from hub.cli.options import Target, examples, hub_options
from hub.cli.output import note, show
from hub.cli.text import one_line, printable
from hub.errors import HubError

LONGEST_WAIT = 86_400.0

CREDENTIALS = (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, HEADERS_VARIABLE)
"""The variables that COMMAND gets only when that is asked for."""


def _check_wait(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    if not 0 < seconds <= LONGEST_WAIT:  # false for NaN, too
        raise click.BadParameter(f"expected seconds above 0 and at most {LONGEST_WAIT:g}")
    return seconds


@click.command(
    short_help="Register an agent while a command runs.",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "homeport register --name web-1 --type application -- ./web --port 9000",
        "homeport register --name etl --type resource --capability csv -- ./etl.py",
        "homeport register --name db-1 --type resource --host 10.0.0.7 --port 5432 \\",
        "    --version 16.2 --meta region=eu",
    ),
)
@click.option("--name", required=True, metavar="NAME", help="Name of the agent.")
@click.option(
    "--type",
    "type_",
    required=True,
    metavar="TYPE",
    help="Type of the agent: cost, performance, resource, application or another word.",
)
@click.option(
    "--capability", "capabilities", multiple=True, metavar="C", help="What it can do (repeatable)."
)
@click.option("--host", metavar="HOST", help="Where the agent itself listens, if it does.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="The port it listens on; 0: none.  [default: 0]",
)
@click.option("--version", default="", metavar="VERSION", help="Version of the agent.")
@click.option(
    "--meta",
    "metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="Metadata (repeatable); VALUE is a JSON number, true, false, null or quoted string, else "
    "plain text.",
)
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    default="healthy",
    help="What the agent reports of itself.  [default: healthy]",
)
@click.option(
    "--load",
    type=click.FloatRange(min=0),
    metavar="NUMBER",
    help="How busy it is, as pick --strategy least_loaded compares it.",
)
@click.option(
    "--agent-id",
    metavar="UUID",
    help="A stable identity: an older session of the same agent is fenced off.",
)
@click.option(
    "--exclusive",
    is_flag=True,
    help="Fail while another session of the same --agent-id lives, and leave that one alone.",
)
@click.option(
    "--wait",
    type=float,
    default=10.0,
    callback=_check_wait,
    metavar="SECONDS",
    help="How long to try to reach a hub at first.  [default: 10]",
)
@click.option(
    "--pass-credentials",
    is_flag=True,
    help="Leave COMMAND the token, the headers, and user and password of the hub's URL.",
)
@hub_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND ...]")
def register(
    target: Target,
    command: Sequence[str],
    *,
    wait: float,
    pass_credentials: bool,
    type_: str,
    metadata: Sequence[str],
    **agent: Any,
) -> int:
    """Register an agent, and keep it registered while COMMAND runs.

    When COMMAND ends, the agent is unregistered, and the exit status is COMMAND's: 128+N when
    signal N ended it, 127 when there is no such command, 126 when it cannot be run. Signals sent
    to homeport (INT, TERM, HUP, QUIT, USR1, USR2) are passed on to COMMAND, which finds
    HOMEPORT_AGENT_ID and HOMEPORT_URL in its environment, and no credentials: neither
    HOMEPORT_TOKEN, HOMEPORT_TOKEN_FILE and HOMEPORT_HEADERS nor a password in HOMEPORT_URL.
    Without COMMAND, the agent stays registered until Ctrl-C or SIGTERM (exit status 0).

    When homeport itself is killed (SIGKILL), so is COMMAND, on Linux. As process 1 of a container,
    and elsewhere on Linux, homeport also waits for the orphans that COMMAND leaves behind.

    When no hub can be reached at first, COMMAND is not started and the exit status is 1. A hub
    that goes away later does not disturb COMMAND: the agent is registered again when it is back.
    When a newer session takes over the same --agent-id, COMMAND runs on without being registered,
    and a line on stderr says so; without COMMAND, the exit status is 1.
    """
    wanted = {**agent, "type": type_, "metadata": read_pairs(metadata) or None}
    with Child(command) if command else nullcontext() as child:
        return asyncio.run(_register(target, wanted, wait, child, pass_credentials))


async def _register(
    target: Target,
    wanted: dict[str, Any],
    wait: float,
    child: Child | None,
    pass_credentials: bool,
) -> int:
    connection = _ConnectionNotes()
    try:
        agent = AgentClient(
            target.urls,
            **target.client,
            connect_timeout=wait,
            on_connected=connection.made,
            on_disconnected=connection.lost,
            leave_on_sigterm=False,  # signals are COMMAND's
            **wanted,
        )
    except (BadRequest, TooLarge) as error:
        raise click.UsageError(error.message) from None
    with Signals() as signals:
        try:
            if not await _started(agent, signals):
                return SIGNALLED + signals.first.result()
        except CannotConnect as error:
            raise cannot_reach(target, error) from error
        try:
            label = f"{printable(wanted['name'])} as {agent.agent_id} with {target.shown}"
            if child is not None:
                note(f"homeport: registered {label}")
                environment = _environment(agent, target, pass_credentials)
                return await _accompany(agent, signals, connection, environment, child)
            show(f"Registered {label}; Ctrl-C unregisters it.")
            return await _stay(agent, signals, connection)
        finally:
            if not agent.connected:
                connection.gone()
            await agent.close()


async def _started(agent: AgentClient, signals: Signals) -> bool:
    """Register; False when a signal came first, and nothing is registered."""
    starting = asyncio.create_task(agent.start())
    await _first_of(starting, signals.first)
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    if not starting.cancelled() and starting.exception() is None:
        await agent.close()  # it registered in the meantime
    return False


def _environment(
    agent: AgentClient, target: Target, pass_credentials: bool
) -> dict[str, str | None]:
    """What COMMAND gets; None for what it does not get."""
    found: dict[str, str | None] = {
        "HOMEPORT_AGENT_ID": agent.agent_id,
        "HOMEPORT_URL": ",".join(target.urls),
    }
    if pass_credentials:
        return found
    urls = ",".join(map(without_user, target.urls))
    return {**found, "HOMEPORT_URL": urls, **dict.fromkeys(CREDENTIALS)}


async def _accompany(
    agent: AgentClient,
    signals: Signals,
    connection: _ConnectionNotes,
    environment: dict[str, str | None],
    child: Child,
) -> int:
    """Run COMMAND until it ends while the agent is registered; return its exit status."""
    await child.execute(environment)
    signals.receiver = child.forward
    if signals.first.done():
        child.forward(signals.first.result())  # it came while COMMAND was starting
    guard = asyncio.create_task(_tell_when_over(agent, connection))
    try:
        return await child.wait()
    finally:
        guard.cancel()
        await asyncio.wait({guard})


async def _tell_when_over(agent: AgentClient, connection: _ConnectionNotes) -> None:
    try:
        await agent.wait_ended()
    except HomeportError as error:
        connection.over()
        note(f"homeport: {_over(error)}; the command runs on without being registered")


async def _stay(agent: AgentClient, signals: Signals, connection: _ConnectionNotes) -> int:
    """Stay registered until a signal (status 0); raises HubError when that is lost for good."""
    ending = asyncio.create_task(agent.wait_ended())
    await _first_of(ending, signals.first)
    if not ending.done():
        ending.cancel()
        await asyncio.wait({ending})
        return 0
    connection.over()
    error = ending.exception()
    assert isinstance(error, HomeportError)  # `wait_ended` ends no other way
    raise HubError(_over(error)) from error


async def _first_of(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)


def _over(error: HomeportError) -> str:
    if isinstance(error, Fenced):
        return "a newer session has taken over this agent's id"
    return f"the registration has ended: {one_line(error.message)}"


class _ConnectionNotes:
    """Reports on stderr when the hub goes away and comes back."""

    def __init__(self) -> None:
        self._away = False

    def made(self, lease: Lease) -> None:
        if self._away:
            self._away = False
            note("homeport: back at the hub, the agent is registered")

    def lost(self, error: HomeportError) -> None:
        self._away = True
        note(f"homeport: the hub is away ({one_line(error.message)}); trying to come back")

    def over(self) -> None:
        """The registration has ended elsewhere, so there is no lease left to tell of."""
        self._away = False

    def gone(self) -> None:
        if self._away:
            note("homeport: no hub could be told of the end; the agent's lease runs out by itself")
