"""The port to the store, and the types that cross it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from homeport_protocol.bounds import Kind

Operation = Literal["register", "resume", "write", "remove", "restore"]
"""What a change does in the one atomic script; see `Change`."""


class Change(Struct, frozen=True, gc=False, kw_only=True):
    """One change of one agent's record, checked and applied atomically by the store.

    The stored record is `head` + `,"epoch":E,"hub":"H","revision":R}`: the head is the record's
    JSON up to and including `health`, the rest is known only inside the script.

    | operation | applies when | epoch E | log entry |
    |---|---|---|---|
    | register | always | max(stored, last, `epoch`) + 1 | `kind` |
    | resume | an entry is stored, of this revision | max(stored, `epoch`) + 1 | `kind` |
    | write | an entry of this epoch and revision is stored | `epoch` | `kind` |
    | remove | nothing newer is stored, or was | `epoch` | `kind` |
    | restore | nothing newer is stored, or was | `epoch` | `kind`, none when empty |

    An entry without an epoch (the legacy registry's) counts as any. What is stored is newer when
    its epoch is above `epoch` (refused `fenced`) or its revision above `revision`, the one that
    the change was made from (refused `stale`); when it is older, the entry is not the one that
    was meant (`missing`). With `seen`, the change is a verdict on silence, and `stale` too when
    the stored `last_seen` is another. `last` is the epoch of the identity's last life, if the
    store still knows it: it was newer when it is not below `epoch` (`fenced`).

    Every operation but `remove` sets the entry with a time to live of `ttl` seconds and adds the
    id to the active set; `remove` deletes both. A log entry raises the revision by one; without
    one, R is `revision`. `key` names the change in the log, so that a hub which never heard the
    outcome can find out.
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


class Renewal(Struct, frozen=True, gc=False, kw_only=True):
    """An agent gave a sign of life: its entry has another `last_seen`, and its time begins anew.

    Applied as the `write` of a `Change`, under the same conditions, but without a log entry: the
    stored record keeps `epoch` and `revision`. Nearly everything that is committed is a renewal.
    """

    agent_id: str
    epoch: int
    head: bytes
    hub: str
    ttl: float
    revision: int


class Applied(Struct, frozen=True, gc=False):
    """The change is durable. `revision` is the log entry's, or the change's own without one."""

    revision: int
    epoch: int


Refusal = Literal["fenced", "missing", "stale", "poisoned"]
"""`fenced`: a newer epoch is stored; `missing`: nothing is stored, or what is older; `stale`: the
record was changed meanwhile; `poisoned`: the key holds something that is no record."""


class Away(Struct, frozen=True):
    """The store could not be asked, or did not answer in time: the outcome is unknown.

    `reason` is one plain phrase for logs and `/ready`, without secrets.
    """

    reason: str


class Fenced(Struct, frozen=True):
    """The hub must open the store anew; of a commit, nothing was applied.

    Its writer generation has been replaced or has lapsed, or the log is not the one it knows.
    """


class Position(Struct, frozen=True):
    """How far a hub has folded a log: `key` is that of its last entry, "" when not known.

    A log that holds another entry at this revision has another history: a failover lost changes
    that were acknowledged (log matching, after Raft section 5.3).
    """

    log: str = ""
    revision: int = 0
    key: str = ""


class Opened(Struct, frozen=True):
    """A new writer generation; every script of an older one is refused from here on.

    `fresh` when the log is not the one the hub knew: there was none, it had fallen behind or held
    another history, a new one was asked for, or somebody else began one. `secret` signs session
    tokens and is shared by the cluster.
    """

    log: str
    revision: int
    fresh: bool
    secret: bytes


class Committed(Struct, frozen=True):
    """A batch was applied in one step. `before` is the log's revision before it."""

    log: str
    before: int
    results: list[Applied | Refusal]


class LogEntry(Struct, frozen=True, gc=False):
    """One entry of the ordered log, as stored: `record` is the record's JSON."""

    revision: int
    kind: Kind
    record: bytes
    key: str


class HubReport(Struct, frozen=True):
    """What a hub tells the cluster of itself: `revision` is how far it has folded the log."""

    agents: int
    sessions: int
    revision: int


class HubLease(Struct, frozen=True, kw_only=True):
    """A hub of the cluster whose lease holds. Times are RFC 3339."""

    hub_id: str
    url: str
    version: str
    started: str
    agents: int
    sessions: int
    revision: int


class Roster(Struct, frozen=True):
    """The hubs that live, ordered by id, and what all of them must know.

    `revision` is the log's; a loss of agents up to revision `acknowledged` has been acknowledged.
    """

    hubs: list[HubLease]
    revision: int
    acknowledged: int


class Loaded(Struct, frozen=True):
    """All that is stored. `records` may hold newer states than `entries` ends with, never older.

    `entries` is the newest part of the log, oldest first. `ghosts` are the ids that were active
    without an entry; they have been dropped.
    """

    records: list[bytes]
    entries: list[LogEntry]
    ghosts: list[str]
    roster: Roster


class Stored(Struct, frozen=True):
    """What is stored of one agent now: its record's JSON, and seconds until it would run out."""

    record: bytes
    ttl: float


class ForeignRenewal(Struct, frozen=True, gc=False):
    """Another hub renewed an entry `age` seconds ago, by the store's clock."""

    agent_id: str
    last_seen: str
    age: float


class ForeignRenewals(Struct, frozen=True):
    """Entries that other hubs renewed lately; the next reading goes on at `position`."""

    position: str
    renewals: list[ForeignRenewal]


class Store(Protocol):
    """The durable side of one namespace. Every call is answered once through `reply`, later.

    At most one `commit` is under way at a time, and one each of `await_change`, `read_renewals`
    and `renew_lease`.
    """

    def open(
        self, position: Position, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Begin a writer generation, given how far this hub knows which log.

        With `new_log` a new log is begun in any case. A new log starts at the known revision or at
        the stored one, whichever is higher, so that revisions never go back.
        """
        ...

    def load(self, reply: Callable[[Loaded | Away], None]) -> None: ...

    def commit(
        self,
        changes: list[Change | Renewal],
        reply: Callable[[Committed | Fenced | Away], None],
        *,
        announce: bool,
        sent: Callable[[], None],
    ) -> None:
        """Apply the changes in one step; `announce` renewals to the other hubs of the cluster.

        `sent` is called once, after `commit` has returned and as soon as the batch has left for the
        store, or waits for the store to take it: the caller may then work while the store does.
        """
        ...

    def read_log(
        self,
        position: Position,
        upto: int | None,
        reply: Callable[[list[LogEntry] | Fenced | Away], None],
    ) -> None:
        """The log's entries after `position` up to revision `upto` (None: all), oldest first.

        Fenced when it is not that log any more, or not that history.
        """
        ...

    def await_change(self, after: int, reply: Callable[[bool | Away], None]) -> None:
        """Whether the log has an entry after that revision, as soon as it has one.

        False after a second or so without. A hint: whoever is told reads the log.
        """
        ...

    def read(self, agent_id: str, reply: Callable[[Stored | Away | None], None]) -> None:
        """What is stored of an agent now; None when there is no record."""
        ...

    def read_renewals(self, position: str, reply: Callable[[ForeignRenewals | Away], None]) -> None:
        """What has been announced since `position` ("": whatever is still known)."""
        ...

    def renew_lease(
        self, report: HubReport, reply: Callable[[Roster | Fenced | Away], None]
    ) -> None:
        """Renew this hub's lease, and hear who else lives. Fenced as of a commit."""
        ...

    def acknowledge_loss(self, revision: int, reply: Callable[[bool | Away], None]) -> None:
        """Tell all hubs that the loss of agents up to `revision` has been acknowledged."""
        ...
