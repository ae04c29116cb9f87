"""A recorded history: what every client of a cluster saw, and when.

The simulation and the runs with real processes record the same Structs, so that one set of
checkers (`tests.history.checks`) judges both. All times are seconds on one clock; `wall_offset`
is what that clock lacks to Unix time (0 when it is Unix time).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from homeport_protocol.record import AgentRecord


class Terms(Struct, frozen=True, kw_only=True):
    """The settings that the hubs ran with, in seconds.

    Where hubs have different times, `heartbeat_timeout` is the shortest, `longest_timeout` the
    longest one (0: there is only one), and `lease_ttl` the longest. `hold` is for how long an agent
    may be held at most after a mass loss; None when that is not judged.
    """

    heartbeat_timeout: float
    lease_ttl: float
    resume_window: float
    hub_lease: float
    longest_timeout: float = 0.0
    hold: float | None = None

    @property
    def longest_life(self) -> float:
        """How long an agent that died without a goodbye may be shown, without faults and holds."""
        timeout = max(self.heartbeat_timeout, self.longest_timeout)
        return self.hub_lease + self.resume_window + timeout + self.lease_ttl


class Slack(Struct, frozen=True, kw_only=True):
    """How exactly times are known, and what is promised; virtual time needs next to none."""

    clock: float = 0.001
    """What clocks may differ by; also covers the rounding of timestamps."""
    lease_renewal: float = 1.2
    """How long before its death a hub may have renewed its lease for the last time."""
    fenced_within: float = 1.0
    """How long an older session may live after a newer one was acknowledged."""
    found_within: float = 20.0
    """After faults end: until every living agent is found at every hub."""
    answered_within: float = 5.0
    """An ask on a connection that lives is answered."""
    held_for: float = 0.005
    """What queries may hold a hub's loop for in a row."""
    load_lag: float = 2.0
    """What a load may lag behind at another hub than the agent's."""
    last_seen_lag: float = 5.0
    """What `last_seen` in a list may lag behind what is stored."""


Op = Literal["register", "resume", "heartbeat", "update", "unregister", "find"]


OLDER = {"process": "older"}
OLDER_TYPE = "older"
"""The metadata that an older process reports over HTTP, and the type that it registers as."""


class Session(Struct, kw_only=True):
    """One websocket connection of one agent, as the agent saw it.

    `epoch` and `joined` are set when its registration or resumption was acknowledged. `ended` is
    the earliest moment from which the connection did not work any more, known to its peers or not:
    the socket was closed by either end, cut by the network, or its hub died. `code` is the close
    code that the agent saw (1006 without one), `closed` when it saw it.
    """

    number: int
    agent_id: str
    hub: str
    opened: float
    epoch: int = 0
    joined: float | None = None
    ended: float | None = None
    closed: float | None = None
    code: int | None = None


class Ask(Struct, kw_only=True):
    """One request of an agent. `session` is None over HTTP.

    `code` is `ok`, the error's code, or "" when no answer ever came; `unknown` when the error said
    that the outcome is. `epoch` is that of the session that asked (0 before it has one); `given`
    the epoch that an answer gave, and `told` the `heartbeat_timeout` with it (0: not known). `says`
    holds what it said of itself. `revision` and `log` come from the answer (0 and "" if it has
    none).
    """

    said: float
    op: Op
    agent_id: str
    hub: str
    session: int | None = None
    epoch: int = 0
    says: dict[str, Any] = field(default_factory=dict)
    answered: float | None = None
    code: str = ""
    given: int = 0
    told: float = 0.0
    revision: int = 0
    log: str = ""
    durable: bool = True
    unknown: bool = False

    @property
    def acknowledged(self) -> bool:
        return self.code == "ok"


class Snapshot(Struct, kw_only=True):
    """A whole snapshot (all of its chunks), received at `at`."""

    at: float
    log: str
    revision: int
    agents: list[AgentRecord]


class Event(Struct, kw_only=True):
    """One event, received at `at`."""

    at: float
    revision: int
    kind: str
    agent: AgentRecord
    coalesced: bool = False


class Watch(Struct, kw_only=True):
    """One watch, from `watching` on. A watcher's watches follow each other in time.

    `filter` holds attributes of a record and the values they must have; {} is all agents. `kinds`
    are those of the events that were asked for; empty for all.
    `since` and `since_log` are what was asked for (None: a snapshot); `resumed`, `log` and
    `revision` what `watching` said. `known_at` is when the watcher had been given the position that
    it asked by; None when it asked by `since` and `log`, which say less. `open` while it has not
    ended.
    """

    watcher: str
    hub: str
    at: float
    resumed: bool
    log: str
    revision: int
    since: int | None = None
    since_log: str = ""
    known_at: float | None = None
    filter: dict[str, Any] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    seen: list[Snapshot | Event] = field(default_factory=list)
    loads: dict[str, float] | None = None
    """By agent, what the watcher believes at the end, if it asked for readings."""
    open: bool = True


class Fault(Struct, kw_only=True):
    """Something was done to `subject`: a hub, an agent, "store" or "network"."""

    at: float
    until: float
    kind: str
    subject: str


class Loss(Struct, kw_only=True):
    """The store lost changes: of `log`, all after revision `kept` (None: all that it held).

    `unseen` when no hub lived then that knew of them.
    """

    at: float
    log: str
    kept: int | None = None
    unseen: bool = False


class Alarm(Struct, kw_only=True):
    """A hub found that the store had come back older, and said so in these words."""

    at: float
    hub: str
    words: str


class Found(Struct, kw_only=True):
    """What a hub's `find` without filter showed at `at`.

    `held`: the agents that it keeps because many were lost at once, where that is recorded.
    """

    at: float
    hub: str
    log: str
    revision: int
    agents: list[AgentRecord]
    held: list[str] = []


class Stored(Struct, kw_only=True):
    """What the store held at the end."""

    at: float
    log: str
    revision: int
    records: dict[str, AgentRecord]
    active: list[str]


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the store's log, read from the store itself; optional."""

    log: str
    revision: int
    kind: str
    agent: AgentRecord
    owner: str | None = None


class Living(Struct, kw_only=True):
    """An agent that lives at the end: it holds a session, or sends heartbeats over HTTP."""

    agent_id: str
    way: Literal["websocket", "http"]
    since: float


class Elsewhere(Struct, kw_only=True):
    """An agent of a legacy service that writes to the same store.

    `value` is what it said last that was stored; `left` is when it unregistered there, and `until`
    when it spoke last, if it did not.
    """

    agent_id: str
    value: int
    until: float
    left: float | None = None


class History(Struct, kw_only=True):
    """All that was recorded. Faults ended at `calm_from`; the recording ended at `end`.

    `dead` are agents that ended without a goodbye, with the time after which they gave no sign of
    life. `ran_out` tells when entries ran out in the store without having been removed: from then
    on it knew nothing of those agents. The log keeps its newest `log_reach` entries at least. Each
    identity is one agent's, whatever sessions it has.
    """

    terms: Terms
    wall_offset: float = 0.0
    sessions: list[Session] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    log_reach: int = 50_000
    alarms: list[Alarm] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    living: list[Living] = field(default_factory=list)
    dead: dict[str, float] = field(default_factory=dict)
    ran_out: dict[str, list[float]] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    stored: Stored | None = None
    elsewhere: list[Elsewhere] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)
    """By hub, the longest time for which queries held its loop in a row, where that is known."""
    calm_from: float = 0.0
    end: float = 0.0
