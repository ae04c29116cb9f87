"""The port to the store, and the types that cross it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import UNSET, Struct, UnsetType

from homeport_protocol.bounds import Kind

Operation = Literal["register", "claim", "adopt", "resume", "write", "remove", "restore"]
"""What a change does in the atomic script; see `Change`."""

BEGIN_SESSIONS: tuple[Operation, ...] = ("register", "claim", "resume")
"""Operations that give a new epoch, and tell the agent its times."""


class Change(Struct, frozen=True, gc=False, kw_only=True):
    """A change of one agent's record, which the store checks and applies in one atomic step.

    The stored record is `head` + `,"epoch":E,"hub":"H","revision":R}`: the head is the record's
    JSON up to and including `health`; only the script knows the rest.

    | operation | applies when | epoch E | log entry |
    |---|---|---|---|
    | register | always | above stored, last and `epoch` | `kind` |
    | claim | nothing newer is stored | above stored, last and `epoch` | `kind` |
    | adopt | an entry without an epoch is stored, of this `seen` | above last | `kind` |
    | resume | an entry is stored, of this revision | above stored and `epoch` | `kind` |
    | write | an entry of this epoch and revision is stored | `epoch` | `kind` |
    | remove | nothing newer is stored, or was | `epoch` | `kind` |
    | restore | nothing newer is stored, or was | `epoch` (*) | `kind`, none when empty |

    (*) A new one for an entry without an epoch, if the change is made from no revision.

    A new epoch is the next one above these, but at least the store's clock in milliseconds since
    1970. No earlier time reached that, so that an epoch is not given twice even where the store
    came back older and does not know of the first.

    An entry without an epoch is another program's, such as the legacy registry's. It counts as any,
    but for a `write`, a renewal, or a `restore` with `seen` and a `revision`, of an agent that came
    over HTTP (`hub` is empty): what that program wrote of the agent is to be taken in first, so
    such a change is `stale` unless its `seen` is the `last_seen` that is stored. A stored entry is
    newer when its epoch is above `epoch` (refused as `fenced`), or its revision above `revision`,
    from which the change was made (refused as `stale`); a claim is `stale` in both cases. When it
    is older, it is not the entry that was meant (`missing`). With `seen`, the change is also
    `stale` when the stored record, of that very revision, has another `last_seen`: another hub has
    renewed the entry. `last` is the last epoch of a removed identity, while the store remembers it;
    it was newer when it is not below `epoch` (`fenced`).

    `times`, where given, are the times that the agent was told (`actors.rules.told_times`); they
    are stored beside the entry until it is removed, or told others.

    `owner`, where not None, is the principal that the agent belongs to from then on; "" for nobody.
    It is stored beside the entry until that is removed. With `only_own`, a register or claim is
    refused as `owned` when an entry is stored that belongs to another principal than `owner`.

    Every operation but `remove` sets the entry with a time to live of `ttl` seconds and adds the id
    to the active set; `remove` deletes both. `adopt` leaves the time to live as it was. A log entry
    raises the revision by one; without one, R is `revision`. `key` names the change in the log, so
    that a hub which never got the answer can find out whether the change was applied. Without a log
    entry, other hubs learn the new `last_seen` and `load` as from a renewal.
    """

    operation: Operation
    kind: Kind | Literal[""]
    agent_id: str
    epoch: int
    head: bytes
    hub: str
    ttl: float
    key: str = ""
    revision: int = 0
    seen: str = ""
    times: str = ""
    owner: str | None = None
    only_own: bool = False
    load: float | UnsetType = UNSET


class Renewal(Struct, frozen=True, gc=False, kw_only=True):
    """A sign of life of an agent: renews `last_seen` and the time to live of its entry.

    Applied under the conditions of a `write`, but without a log entry: the stored record keeps its
    `epoch` and `revision`. Nearly everything that is committed is a renewal. `load` is the
    record's, for other hubs; a load that moves is a reading and no change.
    """

    agent_id: str
    epoch: int
    head: bytes
    hub: str
    ttl: float
    revision: int
    load: float | UnsetType = UNSET


class Applied(Struct, frozen=True, gc=False):
    """The change is durable. `revision` is the log entry's, or the change's own without one."""

    revision: int
    epoch: int


Refusal = Literal["fenced", "missing", "deleted", "stale", "owned", "poisoned"]
"""`fenced`: a newer epoch is stored; `missing`: nothing is stored, or an older entry; `deleted`:
nothing is stored, and a `write` of an agent that came over HTTP finds its id not active either, so
another program deleted it; `stale`: the record was changed meanwhile; `owned`: the agent belongs to
another principal; `poisoned`: the key holds something that is not a record."""


class Away(Struct, frozen=True):
    """The store could not be asked, or did not answer in time: the outcome is unknown.

    `reason` is one plain phrase for logs and `/ready`, without secrets.
    """

    reason: str


class Fenced(Struct, frozen=True):
    """The hub must open the store again; nothing of a commit was applied.

    The writer generation was replaced or has lapsed, or the log is another one.
    """


class Position(Struct, frozen=True):
    """How far a hub has folded a log; `key` is the key of the last folded entry, "" if unknown.

    A log with another entry at this revision has another history: a failover lost acknowledged
    changes (log matching, after Raft section 5.3).
    """

    log: str = ""
    revision: int = 0
    key: str = ""


Freshness = Literal["", "asked", "empty", "unreadable", "older", "diverged", "elsewhere"]
"""Why a log is not the one that a hub knew: a new one was asked for; the store has none, none that
can be read, one that ends earlier, one with another history; or another hub began one."""


class Opened(Struct, frozen=True):
    """A new writer generation; the store refuses scripts of older ones from now on.

    `fresh` when the log is not the one that the hub knew: there was none, it had fallen behind or
    has another history, a new one was asked for, or another hub began one. `secret` signs session
    tokens and positions; the cluster shares it. `key` is that of the entry at `revision`, "" when
    the log begins there.
    """

    log: str
    revision: int
    fresh: bool
    secret: bytes
    key: str = ""
    why: Freshness = ""


class Committed(Struct, frozen=True):
    """A batch was applied in one step. `before` is the log's revision before it."""

    log: str
    before: int
    results: list[Applied | Refusal]


class LogEntry(Struct, frozen=True, gc=False):
    """One entry of the ordered log, as stored: `record` is the record's JSON.

    `times` are what the agent was told by this change; "" when it was told nothing. `owner` is the
    principal that it belongs to, if the change says so; of a `registered` one "" says nobody.
    """

    revision: int
    kind: Kind
    record: bytes
    key: str
    times: str = ""
    owner: str = ""


class HubReport(Struct, frozen=True):
    """What a hub reports to the cluster; `revision` is the last one that it has folded."""

    agents: int
    sessions: int
    revision: int


class HubLease(Struct, frozen=True, kw_only=True):
    """A hub of the cluster whose lease holds. `started` is RFC 3339.

    `times` are the hub's (`Timing` as JSON); "" for a hub that does not tell.
    """

    hub_id: str
    url: str
    version: str
    started: str
    agents: int
    sessions: int
    revision: int
    times: str = ""


class Roster(Struct, frozen=True):
    """The living hubs, ordered by id, and what all of them must know.

    `revision` is the log's. Losses of agents up to revision `acknowledged` have been acknowledged.
    """

    hubs: list[HubLease]
    revision: int
    acknowledged: int


class Loaded(Struct, frozen=True):
    """Everything that is stored.

    `entries` is the newest part of the log, oldest first; `records` may be newer than its end,
    never older. `ghosts` are ids that were active without an entry; they have been dropped.
    `times` are what agents were told, by their ids; one that is not among them was told
    `usual_times` ("": not known). `owners` are the principals that agents belong to, by the agents'
    ids; one that is not among them is nobody's.
    """

    records: list[bytes]
    entries: list[LogEntry]
    ghosts: list[str]
    roster: Roster
    times: dict[str, str] = {}
    usual_times: str = ""
    owners: dict[str, str] = {}


class Stored(Struct, frozen=True):
    """An agent's stored entry: the record's JSON, and its time to live in seconds."""

    record: bytes
    ttl: float


class Looked(Struct, frozen=True):
    """What was found of other programs' doing.

    Of the agents asked about, hubs have not written the entries of those `overwritten`, and those
    `deleted` have no entry and are not active. `active` is a part of the active set, and the next
    look goes on at `cursor` ("": from its beginning).
    """

    overwritten: list[str]
    deleted: list[str]
    active: list[str]
    cursor: str


class ForeignRenewal(Struct, frozen=True, gc=False):
    """A renewal by another hub, `age` seconds ago by the store's clock; `load` if it told one."""

    agent_id: str
    last_seen: str
    age: float
    load: float | UnsetType = UNSET


class ForeignRenewals(Struct, frozen=True):
    """Recent renewals by other hubs; the next reading goes on at `position`."""

    position: str
    renewals: list[ForeignRenewal]


class Store(Protocol):
    """The durable side of one namespace. `name` is what people know it by, such as "Redis".

    Each call answers once, through `reply`, never at once.

    Several `commit`s may be under way. They arrive and are answered in the order of the calls.
    After one that was answered Fenced no later one of its generation is applied, and after Away
    what became of the later ones is unknown as well. At most one each of `read_log`,
    `await_change`, `read_renewals`, `renew_lease` and `look` is under way.
    """

    @property
    def name(self) -> str: ...

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Begin a writer generation; `position` is the last one that this hub has folded.

        With `new_log` a new log is begun in any case. A new log starts at the position's revision
        or at the stored one, whichever is higher, so that revisions never go back.
        """
        ...

    def load(self, reply: Callable[[Loaded | Away], None]) -> None:
        """Read everything that is stored."""
        ...

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None] | None,
    ) -> None:
        """Apply the changes in one step; `announce` renewals to the other hubs of the cluster.

        `sent`, if given, is called once, after `commit` has returned and as soon as the batch has
        left for the store, or waits for the store to take it: the caller may then work while the
        store does.
        """
        ...

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        """Read the log's entries after `position` up to revision `upto` (None: all), oldest first.

        Fenced when the log is another one or has another history.
        """
        ...

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        """Answer True as soon as the log has an entry after that revision.

        False after some seconds without one. Only a hint: the caller then reads the log.
        """
        ...

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """Read an agent's entry; None when there is none."""
        ...

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        """Read the renewals announced since `position` ("": all that the store still has)."""
        ...

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        """Renew this hub's lease and read the roster. Fenced as for a commit."""
        ...

    def look(
        self, agent_ids: list[str], cursor: str, reply: Callable[[Looked | Fenced | Away], None]
    ) -> None:
        """Look for what other programs did to these agents, and at a part of the active set.

        Fenced when the log is another one than this hub writes.
        """
        ...

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        """Record for all hubs that losses of agents up to `revision` are acknowledged."""
        ...
