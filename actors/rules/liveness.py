"""The liveness of one agent: what is known of it, and what becomes of it when nothing comes.

All rules of silence, grace and removal stand here:

- An agent that holds a websocket is overdue when its pongs come and no message does, and silent
  when neither does. One that came over HTTP is silent when no heartbeat comes.
- One that lost its websocket may resume within `resume_window`. When its hub died, restarted or
  drained it, it is given a grace.
- Watches hear that a hub let go of an agent only when it is not back within `resume_window`.
- Who is silent, or did not resume, is unreachable, and removed when the lease is over: `lease_ttl`
  later, unless removal is held.
- The hub's own absence, and the store's, is charged to nobody: everybody is given a fresh timeout.
- While an agent is listed, it is stored.

Nothing outside this module writes to a `Liveness`. Every `timing` is that of the agent: the times
that it was told (`actors.rules.told_times`). All times are seconds on the scheduler's scale,
except `wall`, which is Unix time.
"""

from __future__ import annotations

from typing import Literal, assert_never, cast

from msgspec import Struct

from actors.ports.clock import INFINITE
from actors.rules.states import DerivedStatus, State, StateChange, derive_status, transit
from actors.timing import Timing
from homeport_protocol.bounds import Reason, Status
from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp

_STATES: dict[str, State] = {
    "websocket": State.CONNECTED,
    "http": State.POLLING,
    "lost": State.LOST,
}

TimedChange = Literal[
    StateChange.OVERDUE, StateChange.SOCKET_LOST, StateChange.SILENT, StateChange.LEASE_OVER
]
"""What can happen to an agent because time passes."""

HOLD_CHECK = 5.0
"""Seconds after which it is looked again whether an agent whose removal is held may be removed."""


class Liveness:
    """State and facts of an agent that this hub owns. Nothing here waits, writes or sends."""

    __slots__ = (
        "cause",
        "fresh_timeout_from",
        "last_activity_at",
        "last_message_at",
        "lease_over_at",
        "over_http",
        "overdue",
        "reported",
        "resume_until",
        "state",
        "tell_loss_at",
        "turned_at",
    )

    def __init__(self, state: State, reported: Status, now: float) -> None:
        self.state = state
        self.reported: Status = reported
        self.overdue = False
        self.over_http = state is State.POLLING
        self.cause: Reason = "ok"
        self.last_activity_at = now
        """When anything came last: a message, or the answer to a ping."""
        self.last_message_at = now
        """When a message came last: proof that the program lives, not only its socket."""
        self.resume_until = INFINITE
        self.lease_over_at = INFINITE
        self.tell_loss_at = INFINITE
        """When watches are told that it is lost, which they are not when its hub lets go of it."""
        self.fresh_timeout_from = -INFINITE
        """When the last absence ended that the agent was given a fresh timeout for."""
        self.turned_at = now
        """When it was lost, or became unreachable."""

    # --- beginnings ------------------------------------------------------------------------------

    @classmethod
    def recovered(cls, record: AgentRecord, now: float) -> Liveness:
        """The liveness that a record describes, except for its times, which start at `now`.

        A record with a websocket gives a CONNECTED one. A caller who knows that the websocket is
        gone must have it lost.
        """
        health = record.health
        if record.status == "unreachable" and health.reason != "self_reported":
            state = State.UNREACHABLE
        else:
            state = _STATES[health.connection]
        liveness = cls(state, health.reported, now)
        liveness.over_http = health.connection == "http"
        liveness.overdue = health.reason == "heartbeat_overdue"
        liveness.cause = cast(Reason, health.reason)
        return liveness

    @classmethod
    def taken_over(
        cls, record: AgentRecord, now: float, *, wall: float, grace: float, timing: Timing
    ) -> Liveness:
        """The liveness of an agent whose session, if it had one, is gone with its hub.

        It has `grace` seconds to come back, and at least `heartbeat_timeout` when its hub drained
        it, since that hub asked it to come back within that time. An unreachable agent stays until
        its lease is over, if that is later.
        """
        liveness = cls.recovered(record, now)
        if record.health.reason == "draining":
            grace = max(grace, timing.heartbeat_timeout)
        until = now + grace
        liveness.lease_over_at = max(until, now + lease_left(record, wall, timing))
        liveness.resume_until = until
        if record.health.reason == "draining":
            liveness.tell_loss_at = now + timing.resume_window
        if liveness.state is State.CONNECTED:
            liveness._lose(until)
        return liveness

    @classmethod
    def restarted(cls, record: AgentRecord, now: float, timing: Timing) -> Liveness:
        """The liveness of an agent whose actor failed and starts again from the committed record.

        A session of this hub, if it has one, is still there.
        """
        liveness = cls.recovered(record, now)
        liveness.resume_until = now + timing.resume_window
        liveness.lease_over_at = now + timing.lease_ttl
        return liveness

    @classmethod
    def carried_over(
        cls,
        record: AgentRecord,
        before: Liveness,
        now: float,
        *,
        wall: float,
        owned: bool,
        timing: Timing,
    ) -> Liveness:
        """The liveness of an agent without a session here, whose record another hub changed.

        It is as the record says, with the times known here. `owned`: whether this hub owns it.
        """
        liveness = cls.recovered(record, now)
        liveness.last_activity_at = before.last_activity_at
        liveness.resume_until = before.resume_until
        liveness.lease_over_at = before.lease_over_at
        liveness.tell_loss_at = before.tell_loss_at
        if liveness.state is State.CONNECTED and owned:
            liveness._lose(before.resume_until)
        elif liveness.state is State.UNREACHABLE and liveness.lease_over_at == INFINITE:
            liveness.lease_over_at = now + max(0.0, lease_left(record, wall, timing))
        return liveness

    def resumed(self, status: Status | None, now: float) -> Liveness:
        """The liveness of the agent once it has resumed, and reports `status` (None: nothing)."""
        return Liveness(State.CONNECTED, self._reported_by(status), now)

    def attached(self, reported: Status, now: float, *, over_http: bool) -> Liveness:
        """The liveness that starts with a new lease or session; none of its facts is older."""
        state = State.POLLING if over_http else transit(self.state, StateChange.ATTACHED)
        return Liveness(state, reported, now)

    # --- activity --------------------------------------------------------------------------------

    def message_came(self, at: float) -> None:
        """A message of the agent came, whatever it says; `report` takes what it says."""
        self.last_activity_at = self.last_message_at = at

    def activity_came(self, at: float, *, message: bool) -> bool:
        """The session's peer answered a ping, or sent a message that is not for its agent.

        Returns whether the agent was overdue and is no longer.
        """
        self.last_activity_at = at
        if not message:
            return False
        self.last_message_at = at
        returned, self.overdue = self.overdue, False
        return returned

    def active_elsewhere(self, at: float) -> None:
        """Another hub renewed the agent's entry for a heartbeat that came at `at`.

        It changes nothing for an unreachable agent: its return will be in the log.
        """
        if self.state is not State.UNREACHABLE:
            self.last_activity_at = max(self.last_activity_at, at)
            self.last_message_at = max(self.last_message_at, at)

    def report(self, status: Status | None, *, over_http: bool) -> None:
        """Take what a message says: the agent reports `status`, or nothing."""
        if status is not None or self.state is State.UNREACHABLE:
            self.reported = self._reported_by(status)
        if over_http:
            self._transit(StateChange.POLLED)
            self.over_http = self.state is State.POLLING
        self.overdue = False

    def set_reported(self, status: Status) -> None:
        """The agent reports that status, by a record: it is durable, or was before a change."""
        self.reported = status

    def agrees(self, record: AgentRecord, *, over_http: bool) -> bool:
        """Whether the record says what this does, and a heartbeat would leave it so."""
        health, reported = record.health, self.reported
        if over_http:
            steady = self.state is State.POLLING and health.connection == "http"
        else:
            steady = self.state is State.CONNECTED and health.connection == "websocket"
        return (
            steady
            and not self.overdue
            and record.status == reported
            and health.reported == reported
            and health.reason == ("ok" if reported == "healthy" else "self_reported")
        )

    def derived_status(self) -> DerivedStatus:
        """What the record is to say."""
        return derive_status(
            self.state,
            self.reported,
            over_http=self.over_http,
            overdue=self.overdue,
            cause=self.cause,
        )

    # --- silence, grace and removal --------------------------------------------------------------

    def lost(self, at: float, timing: Timing) -> None:
        """Its websocket was lost at `at`; the agent may resume for a while.

        If the websocket was lost while the hub was absent, or could not write, the agent has the
        fresh timeout that all agents were given since.
        """
        resume_until = at + timing.resume_window
        if at <= self.fresh_timeout_from:
            resume_until = max(resume_until, self.fresh_timeout_from + timing.heartbeat_timeout)
        self._lose(resume_until)
        self.turned_at = at

    def drained(self) -> None:
        """The stopping hub let go of its websocket, and leaves it to another hub."""
        self._lose(INFINITE, "draining")

    def ended(self) -> None:
        """Its removal is durable."""
        expired = self.state is State.UNREACHABLE
        self._transit(StateChange.LEASE_OVER if expired else StateChange.UNREGISTERED)

    def deadline(self, timing: Timing) -> float:
        """When to `pass_time` next, if nothing comes until then."""
        silent_at = self.last_activity_at + timing.heartbeat_timeout
        match self.state:
            case State.CONNECTED if not self.overdue:
                return min(silent_at, self.last_message_at + timing.heartbeat_timeout)
            case State.CONNECTED | State.POLLING:
                return silent_at
            case State.LOST:
                return min(silent_at, self.resume_until, self.tell_loss_at)
            case State.UNREACHABLE:
                return self.lease_over_at
            case State.GONE:
                return INFINITE
            case _:
                assert_never(self.state)

    def pass_time(self, now: float, timing: Timing) -> TimedChange | None:
        """Make the change that is due at `now`, and return it; None when none is.

        LEASE_OVER is only returned: the agent may still come back until its removal is durable.
        """
        if now < self.deadline(timing):
            return None
        if self.state is State.UNREACHABLE:
            return StateChange.LEASE_OVER
        silent = now >= self.last_activity_at + timing.heartbeat_timeout
        if self.state is State.CONNECTED and not silent:
            self.overdue = True
            self._transit(StateChange.OVERDUE)
            return StateChange.OVERDUE
        if self.state is State.LOST and now >= self.tell_loss_at:
            self.tell_loss_at = INFINITE
            if not silent and now < self.resume_until:
                self.cause = "ok"  # no longer `draining`, which is not told
                return StateChange.SOCKET_LOST
        resumable = self.state is State.LOST and now >= self.resume_until
        self.cause = "connection_lost" if resumable else "heartbeat_timeout"
        self.turned_at = now
        self.lease_over_at = now + timing.lease_ttl
        self._transit(StateChange.SILENT)
        return StateChange.SILENT

    def hold_removal(self, now: float, until: float, timing: Timing) -> None:
        """Its lease is over, and yet it stays until then, or until the loss is acknowledged."""
        self.lease_over_at = min(until, now + min(timing.lease_ttl / 4, HOLD_CHECK))

    def grant_fresh_timeout(self, at: float, timing: Timing) -> None:
        """The hub was absent until `at`: give the agent a fresh `heartbeat_timeout` from then.

        Doing so twice for one absence is the same as once.
        """
        self.last_activity_at = max(self.last_activity_at, at)
        self.last_message_at = max(self.last_message_at, at)
        self.fresh_timeout_from = max(self.fresh_timeout_from, at)
        grace = at + timing.heartbeat_timeout
        if self.turned_at > at:
            return  # what it is now, it became after the absence
        if self.state is State.LOST:
            self.resume_until = max(self.resume_until, grace)
        elif self.state is State.UNREACHABLE:
            self.lease_over_at = max(self.lease_over_at, grace)

    def storage_ttl(self, now: float, timing: Timing, *, removal_held: bool) -> float:
        """Seconds for which the store keeps the entry that is written at `now`.

        `lease_ttl`, and longer for an agent that is listed for longer without being renewed.
        """
        ttl = timing.lease_ttl
        if self.state in (State.LOST, State.UNREACHABLE):
            until = self.deadline(timing)
            if until < INFINITE:
                ttl = max(ttl, until - now)
            if self.state is State.UNREACHABLE and removal_held:
                ttl += timing.lease_ttl
        return ttl

    # --- within ----------------------------------------------------------------------------------

    def _reported_by(self, status: Status | None) -> Status:
        """What the agent reports with a message; one that returns is healthy if it says nothing."""
        if status is not None:
            return status
        return "healthy" if self.state is State.UNREACHABLE else self.reported

    def _lose(self, resume_until: float, cause: Reason = "ok") -> None:
        self._transit(StateChange.SOCKET_LOST)
        self.cause = cause
        self.resume_until = resume_until

    def _transit(self, change: StateChange) -> None:
        self.state = transit(self.state, change)


class StartGrace(Struct, frozen=True):
    """The grace of agents that a hub found in the store when it started, at `since`.

    They have their `heartbeat_timeout` from then on to come back, unless there has been news of
    them since: then their records are newer than `revision`, the last one that the hub had loaded,
    and they have the `resume_window` of all agents.
    """

    revision: int = 0
    since: float = -INFINITE

    def seconds(self, record: AgentRecord, now: float, timing: Timing) -> float:
        """Seconds that the agent has to come back once this hub takes it over."""
        grace = timing.resume_window
        if record.revision <= self.revision:
            grace = max(grace, self.since + timing.heartbeat_timeout - now)
        return grace


def lease_left(record: AgentRecord, wall: float, timing: Timing) -> float:
    """Seconds until the lease of an unreachable agent is over, by what its record says."""
    return parse_timestamp(record.health.since) + timing.lease_ttl - wall


def renewal_due(renewed_at: float, now: float, timing: Timing) -> bool:
    """Whether an entry renewed at `renewed_at` is to be renewed although no heartbeat asks for it.

    Two more chances are left then before it would run out.
    """
    return now - renewed_at > timing.lease_ttl / 3


def renewed_at(ttl: float, now: float, timing: Timing) -> float:
    """When an entry was renewed that would run out in `ttl` seconds."""
    return now - max(0.0, timing.lease_ttl - ttl)
