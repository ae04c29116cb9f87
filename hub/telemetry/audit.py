"""The audit log: who did what to which agent or token, from where, and what came of it.

One JSON object a line. It has no field for a secret, a metadata value or a body, and what callers
choose themselves (names and ids) is searched for tokens and cut.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct, structs

from actors.ports.audit import Audited
from actors.ports.conditions import Caution
from homeport_protocol.codec import encode
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.timestamps import format_timestamp
from hub.errors import HubError
from hub.telemetry import logs
from hub.telemetry.line_writer import STDOUT, LineWriter
from hub.telemetry.metrics import Metrics
from hub.telemetry.repeats import Repeats

LOG_EVERY = 60.0
"""Seconds between two log lines about the same trouble, and for which `/ready` tells of lines
that were lost."""

MAX_REFUSED = 256
"""Who is refused what, each with lines of its own; all others share one."""

MAX_TEXT = 256
"""Characters of a name, an id or a principal."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a stopping hub waits until all lines are written."""

logger = logs.get("hub.audit")


class AuditLine(Struct, kw_only=True, omit_defaults=True):
    """One line. What does not apply is left out, but for what every line has."""

    time: str
    hub: str
    what: str
    outcome: str
    principal: str | None
    """Null where nobody is asked, for who was not recognised, and for what a hub does by itself."""
    address: str | None
    namespace: str | None
    """Null for what concerns all of them."""
    agent_id: str = ""
    name: str = ""
    epoch: int = 0
    revision: int = 0
    token_id: str = ""
    claims: str = ""
    """The principal that somebody claimed to be who was not recognised."""
    count: int = 0
    """How many such refusals there were since the last line about them, this one among them."""


class AuditLog:
    """Writes what it is told into the file of the setting, in a thread; without one, nothing.

    No method blocks or raises but for `open` and `close`. Refusals, of which anybody can cause as
    many as he likes, get one line for the same principal, address, act and outcome, and another one
    every 10 seconds with their number. `stdout` is the descriptor that `-` stands for.
    """

    def __init__(
        self, target: str | None, hub_id: str, metrics: Metrics, *, stdout: int = 1
    ) -> None:
        self._target = target
        self._hub_id = hub_id
        self._metrics = metrics
        self._stdout = stdout
        self._writer: LineWriter | None = None
        self._why: str | None = None
        """Why nothing can be written now; set by the writer's thread."""
        self._logged: str | None = None
        self._logged_at = -LOG_EVERY
        self._lost = 0
        self._lost_at = -LOG_EVERY
        self._refused = Repeats[tuple[str, ...], AuditLine](
            self._write_refused, ("others",), MAX_REFUSED
        )

    def open(self) -> None:
        """Open the file, and write from now on. Raises HubError."""
        if self._target is None:
            return
        target = self._stdout if self._target == STDOUT else self._target
        writer = LineWriter(target, self._failed)
        try:
            writer.start()
        except OSError as error:
            raise HubError(
                f"audit_log: {self._target} cannot be opened: {error.strerror or error}"
            ) from None
        self._writer = writer

    def done(self, act: Audited, namespace: str | None = DEFAULT_NAMESPACE) -> None:
        """Somebody did something, or the hub did."""
        if self._writer is not None:
            self._write(self._line(act, namespace))

    def token(self, act: Audited, token_id: str) -> None:
        """Somebody made or revoked a token."""
        if self._writer is not None:
            self._write(self._line(act, None, token_id=token_id))

    def refused(self, act: Audited, namespace: str | None = None, *, claims: str = "") -> None:
        """Somebody was refused something."""
        if self._writer is not None:
            line = self._line(act, namespace, claims=_shown(claims))
            key = (act.what, act.outcome, act.principal, act.address, line.claims)
            self._refused.add(key, line)

    def reopen(self) -> None:
        """Open the file by its name again: `logrotate` may have renamed it."""
        if self._writer is not None:
            self._writer.reopen()

    def look(self) -> None:
        """Log trouble with the file, at most once a minute; called regularly."""
        why, now = self._why, time.monotonic()
        if why is not None and now - self._logged_at >= LOG_EVERY:
            self._logged, self._logged_at = why, now
            logger.error("the audit log cannot be written", file=self._target, reason=why)
        elif why is None and self._logged is not None:
            self._logged = None
            logger.warning("the audit log is written again", file=self._target, lost=self._lost)

    def warnings(self) -> list[Caution]:
        """What `/ready` tells of it."""
        why = self._why
        if why is not None:
            return [Caution("audit_log", f"the audit log cannot be written: {why}")]
        if time.monotonic() - self._lost_at < LOG_EVERY:
            return [Caution("audit_log", "the audit log lost lines within the last minute")]
        return []

    async def close(self) -> None:
        """Write what waits, in 2 seconds at most."""
        if self._writer is None:
            return
        self._refused.report_all()
        writer, self._writer = self._writer, None
        unwritten = await asyncio.to_thread(writer.close, CLOSE_TIMEOUT)
        if unwritten:
            logger.error("the end of the audit log was not written", bytes=unwritten)

    # --- internals -------------------------------------------------------------------------------

    def _line(
        self, act: Audited, namespace: str | None, *, token_id: str = "", claims: str = ""
    ) -> AuditLine:
        return AuditLine(
            time=format_timestamp(time.time()),
            hub=self._hub_id,
            what=act.what,
            outcome=act.outcome,
            principal=_shown(act.principal) or None,
            address=act.address or None,
            namespace=namespace,
            agent_id=_shown(act.agent_id),
            name=_shown(act.name),
            epoch=act.epoch,
            revision=act.revision,
            token_id=token_id,
            claims=claims,
        )

    def _write_refused(self, key: tuple[str, ...], line: AuditLine, count: int) -> None:
        if len(key) == 1:  # of many
            line = structs.replace(line, principal=None, address=key[0], agent_id="", claims="")
        self._write(structs.replace(line, count=count) if count else line)

    def _write(self, line: AuditLine) -> None:
        if self._writer is None:
            return
        if self._writer.put(encode(line)):
            self._metrics.audited("taken")
            return
        self._metrics.audited("lost")
        self._lost += 1
        now = time.monotonic()
        if now - self._lost_at >= LOG_EVERY:
            logger.error("lines of the audit log are lost", file=self._target, lost=self._lost)
        self._lost_at = now

    def _failed(self, why: str | None) -> None:
        self._why = why  # an assignment is atomic


def _shown(text: str) -> str:
    """Something that a caller chose, without tokens in it."""
    return logs.redact_text(text)[:MAX_TEXT] if text else text
