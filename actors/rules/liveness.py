"""The facts of one agent's life, and what becomes of it when nothing is heard.

All times are seconds on the scheduler's scale.
"""

from __future__ import annotations

from typing import Literal, assert_never, cast

from actors.ports.clock import INFINITE
from actors.rules.states import DerivedStatus, State, StateChange, derive_status, transit
from actors.timing import Timing
from homeport_protocol.bounds import Reason, Status
from homeport_protocol.record import AgentRecord

_STATES: dict[str, State] = {
    "websocket": State.CONNECTED,
    "http": State.POLLING,
    "lost": State.LOST,
}


TimedChange = Literal[StateChange.OVERDUE, StateChange.SILENT, StateChange.LEASE_OVER]
"""What can happen to an agent because time passes."""

HOLD_CHECK = 5.0
"""Seconds between two looks whether an agent whose removal is held may be removed."""


class Liveness:
    """State and facts of an agent this hub owns. Nothing here waits, writes or sends."""

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
        "turned_at",
    )

    def __init__(self, state: State, reported: Status, now: float) -> None:
        self.state = state
        self.reported: Status = reported
        self.overdue = False
        self.over_http = state is State.POLLING
        self.cause: Reason = "ok"
        self.last_activity_at = now
        """The last sign of life of any kind."""
        self.last_message_at = now
        """The last message: proof that the program lives, not only its socket."""
        self.resume_until = INFINITE
        self.lease_over_at = INFINITE
        self.fresh_timeout_from = -INFINITE
        self.turned_at = now
        """When it was lost, or became unreachable."""

    @classmethod
    def recovered(cls, record: AgentRecord, now: float) -> Liveness:
        """The life that a record tells of, but for its times, which begin anew.

        A record with a websocket gives a CONNECTED life; whoever knows that there is none has it
        lose it.
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
        cls, record: AgentRecord, now: float, *, grace: float, lease_left: float
    ) -> Liveness:
        """The life of an agent whose session, if it had one, is gone with its hub.

        It has `grace` seconds to come back; an unreachable one stays for `lease_left`, if longer.
        """
        liveness = cls.recovered(record, now)
        until = now + grace
        liveness.lease_over_at = max(until, now + lease_left)
        liveness.resume_until = until
        if liveness.state is State.CONNECTED:
            liveness.lost_until(until)
        return liveness

    def report(self, status: Status | None, *, over_http: bool) -> None:
        """It spoke. One that returns is what it reports, healthy when it says nothing."""
        if status is not None:
            self.reported = status
        elif self.state is State.UNREACHABLE:
            self.reported = "healthy"
        if over_http:
            self._transit(StateChange.POLLED)
            self.over_http = self.state is State.POLLING
        self.overdue = False

    def agrees(self, record: AgentRecord, *, over_http: bool) -> bool:
        """Whether the record tells of this life as it is, and a sign of life leaves it so."""
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

    def lost(self, at: float, timing: Timing) -> None:
        """Its websocket went away; it may resume for a while.

        One that went while the hub was absent, or could not write it down, has the fresh timeout
        that all agents were given since.
        """
        resume_until = at + timing.resume_window
        if at <= self.fresh_timeout_from:
            resume_until = max(resume_until, self.fresh_timeout_from + timing.heartbeat_timeout)
        self.lost_until(resume_until)
        self.turned_at = at

    def lost_until(self, resume_until: float, cause: Reason = "ok") -> None:
        """Its websocket is gone; it may resume until then."""
        self._transit(StateChange.SOCKET_LOST)
        self.cause = cause
        self.resume_until = resume_until

    def ended(self) -> None:
        """Its removal is durable."""
        expired = self.state is State.UNREACHABLE
        self._transit(StateChange.LEASE_OVER if expired else StateChange.UNREGISTERED)

    def deadline(self, timing: Timing) -> float:
        """When to `pass_time` next, if nothing is heard until then."""
        silent_at = self.last_activity_at + timing.heartbeat_timeout
        match self.state:
            case State.CONNECTED if not self.overdue:
                return min(silent_at, self.last_message_at + timing.heartbeat_timeout)
            case State.CONNECTED | State.POLLING:
                return silent_at
            case State.LOST:
                return min(silent_at, self.resume_until)
            case State.UNREACHABLE:
                return self.lease_over_at
            case State.GONE:
                return INFINITE
            case _:
                assert_never(self.state)

    def pass_time(self, now: float, timing: Timing) -> TimedChange | None:
        """Take the transition that is due at `now`, and tell which; None when none is.

        LEASE_OVER is told only: the agent may still return until its removal is durable.
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
        resumable = self.state is State.LOST and now >= self.resume_until
        self.cause = "connection_lost" if resumable else "heartbeat_timeout"
        self.turned_at = now
        self.lease_over_at = now + timing.lease_ttl
        self._transit(StateChange.SILENT)
        return StateChange.SILENT

    def hold_removal(self, now: float, timing: Timing) -> None:
        """Its lease is over, and yet it stays for now: look again soon."""
        self.lease_over_at = now + min(timing.lease_ttl / 4, HOLD_CHECK)

    def grant_fresh_timeout(self, at: float, timing: Timing) -> None:
        """The hub was absent until `at`: give the agent a fresh `heartbeat_timeout` from then.

        Absolving twice for one absence is the same as once.
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

    def derived_status(self) -> DerivedStatus:
        """What the record is to say."""
        return derive_status(
            self.state,
            self.reported,
            over_http=self.over_http,
            overdue=self.overdue,
            cause=self.cause,
        )

    def _transit(self, signal: StateChange) -> None:
        self.state = transit(self.state, signal)
