"""What the brain needs from the world, as Protocols, and the types that cross them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from protocol.bounds import Kind
from protocol.errors import CloseCode


class Timer(Protocol):
    """A callback that has been scheduled."""

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """The only clock. All times are seconds; `now` is monotonic and goes on while suspended."""

    def now(self) -> float: ...

    def wall(self) -> float:
        """Unix time, for timestamps that people read; never for deadlines."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at `when` (on the scale of `now`) or as soon after as can be."""
        ...


class RandomSource(Protocol):
    """The only source of chance; must be unguessable in a hub (ids of agents come from it)."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...


class Link(Protocol):
    """One websocket connection, as its session sees it. No method blocks or raises."""

    @property
    def unsent(self) -> int:
        """Bytes accepted by `send` that have not yet been handed to the kernel."""
        ...

    @property
    def delivered(self) -> int:
        """Bytes handed to the kernel since the connection began; tells whether a peer reads."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one text message (UTF-8 JSON); messages of one loop turn leave in one write."""
        ...

    def ping(self) -> None:
        """Send a ping; its pong comes back as `Session.pong`."""
        ...

    def close(self, code: CloseCode, reason: str, *, discard: bool = False) -> None:
        """Close after what is queued, or with `discard` instead of what is queued.

        Later sends are dropped. The transport is aborted when the peer does not complete the
        closing handshake in time.
        """
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


# --- the store -------------------------------------------------------------------------------


Operation = Literal["register", "resume", "write", "renew", "remove", "restore"]
"""What a change does in the one atomic script; see `Change`."""


class Change(Struct, gc=False, kw_only=True):
    """One change of one agent's record, checked and applied atomically by the store.

    The stored record is `head` + `,"epoch":E,"hub":"H","revision":R}`: the head is the record's
    JSON up to and including `health`, the rest is known only inside the script.

    | operation | applies when | epoch E | log entry |
    |---|---|---|---|
    | register | always | max(stored, `epoch`) + 1 | `kind` |
    | resume | an entry is stored | max(stored, `epoch`) + 1 | `kind` |
    | write | stored epoch = `epoch`, or the entry has none (legacy) | `epoch` | `kind` |
    | renew | stored epoch = `epoch`, or the entry has none (legacy) | `epoch` | none |
    | remove | nothing stored, or stored epoch <= `epoch` | `epoch` | `kind` |
    | restore | nothing stored, or stored epoch <= `epoch` | `epoch` | `kind`, none when empty |

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


class Applied(Struct, frozen=True, gc=False):
    """The change is durable. `revision` is the log entry's, or the change's own without one."""

    revision: int
    epoch: int


Refusal = Literal["fenced", "missing", "poisoned"]
"""`fenced`: a newer epoch is stored; `missing`: nothing is stored; `poisoned`: the key holds
something that is no record."""


class Away(Struct, frozen=True):
    """The store could not be asked, or did not answer in time: the outcome is unknown.

    `reason` is one plain phrase for logs and `/ready`, without secrets.
    """

    reason: str


class Fenced(Struct, frozen=True):
    """This hub's writer generation has been replaced or has lapsed: nothing was applied."""


class Opened(Struct, frozen=True):
    """A new writer generation; every script of an older one is refused from here on.

    `fresh` when the log is not the one the hub knew: there was none, it had fallen behind, a new
    one was asked for, or somebody else began one. `secret` signs session tokens and is shared by
    the cluster.
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


class Loaded(Struct, frozen=True):
    """All that is stored. `records` may hold newer states than `entries` ends with, never older.

    `entries` is the newest part of the log, oldest first. `ghosts` are the ids that were active
    without an entry; they have been dropped.
    """

    records: list[bytes]
    entries: list[LogEntry]
    ghosts: list[str]


class Store(Protocol):
    """The durable side of one namespace. Every call is answered once through `reply`, later.

    At most one `commit` is under way at a time.
    """

    def open(
        self, log: str, revision: int, reply: Callable[[Opened | Away], None], *, new_log: bool
    ) -> None:
        """Begin a writer generation, given the log and revision this hub knows ("" and 0: none).

        With `new_log` a new log is begun in any case. A new log starts at `revision` or at the
        stored one, whichever is higher, so that revisions never go back.
        """
        ...

    def load(self, reply: Callable[[Loaded | Away], None]) -> None: ...

    def commit(
        self, changes: list[Change], reply: Callable[[Committed | Fenced | Away], None]
    ) -> None: ...

    def read_log(
        self, after: int, upto: int, reply: Callable[[list[LogEntry] | Away], None]
    ) -> None:
        """The log's entries with `after` < revision <= `upto`, oldest first."""
        ...
