"""The watches of one connection."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from actors.namespace.supervisor import Supervisor
from actors.ports.link import Link
from actors.rules.positions import LogPosition, is_position, read_position
from actors.runtime.turns import Steps, Work
from actors.session.pipeline import Pipeline
from actors.watch.watch import Watch
from homeport_protocol.answers import Unwatched, Watching
from homeport_protocol.codec import encode
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.requests import Unwatch
from homeport_protocol.requests import Watch as WatchRequest


class SessionWatches:
    """The watches that a peer has begun; they end when it says so, or with the connection."""

    __slots__ = ("_ended", "_last", "_link", "_supervisor", "_watches", "_work")

    def __init__(self, supervisor: Supervisor, link: Link) -> None:
        self._supervisor = supervisor
        self._link = link
        self._watches: dict[int, Watch] = {}
        self._last = 0
        self._ended = False
        self._work: Work[None] | None = None  # of the watch that is about to follow

    def start(
        self, request: WatchRequest, pipeline: Pipeline, answer: Callable[[bytes], None]
    ) -> None:
        """Answer, and follow: from where the request says, or from a snapshot.

        Raises ProtocolError when the peer may not have this watch.
        """
        supervisor, watch = self._supervisor, self._make(request)
        pipeline.begin_alone()  # nothing behind it is performed before it follows the log

        def follow() -> None:
            steps = self._follow(request, watch, position, answer)
            work = supervisor.perform(steps, followed)
            self._work = None if work.over else work

        def followed(result: object) -> None:
            self._work = None
            if isinstance(result, ProtocolError):
                self._link.close(CloseCode.INTERNAL, "a watch failed")
            pipeline.answered()

        def caught_up(complete: bool) -> None:
            if complete and position is not None:
                supervisor.replica.rollback.judge(position)
            if not self._ended:
                follow()

        position = self._position_in(request)
        if position is not None:
            current = supervisor.feed.follows(position)
            if not current:
                supervisor.replica.rollback.doubt(position)
        else:
            since = request.since
            current = since is UNSET or since <= supervisor.revision or supervisor.alone
        if current:
            follow()
        else:
            # The peer comes from a hub that has folded more, or the log went back: catch up first,
            # since a watch that starts here now would go back in time.
            supervisor.catch_up(caught_up)

    def end(self, request: Unwatch) -> bytes:
        """End a watch and return the answer; raises ProtocolError when there is no such watch."""
        watch = self._watches.pop(request.watch, None)
        if watch is None:
            raise ProtocolError(
                "not_found", f"watch: there is no watch {request.watch}", field="watch"
            )
        self._forget(watch)
        return encode(Unwatched(id=request.id))

    def end_all(self) -> None:
        """The connection has ended: end them all, without an answer."""
        self._ended = True
        if self._work is not None:
            self._work.cancel()
        for watch in self._watches.values():
            self._forget(watch)
        self._watches.clear()

    def pump(self) -> None:
        """The peer has read on: each sends more of what it holds back."""
        for watch in self._watches.values():
            watch.pump()

    def _forget(self, watch: Watch) -> None:
        self._supervisor.feed.forget(watch)
        self._supervisor.replica.readings.forget(watch)

    def _make(self, request: WatchRequest) -> Watch:
        _check_start(request)
        most = self._supervisor.limits.max_watches
        if len(self._watches) >= most:
            self._supervisor.observer.limited("max_watches")
            raise ProtocolError(
                "rate_limited",
                f"a connection may hold {most} watches (max_watches): open another one",
            )
        kinds = None if request.kinds is UNSET else request.kinds
        watch = Watch(self._last + 1, request.filter, self._link, kinds)
        self._last = watch.number
        return watch

    def _position_in(self, request: WatchRequest) -> LogPosition | None:
        """The position that the request goes on from, if a hub of this cluster has given it."""
        if request.position is UNSET:
            return None
        return read_position(self._supervisor.secret, request.position)

    def _follow(
        self,
        request: WatchRequest,
        watch: Watch,
        position: LogPosition | None,
        answer: Callable[[bytes], None],
    ) -> Steps[None]:
        feed = self._supervisor.feed
        since = None
        if position is not None and feed.holds(position):
            since = position.revision
        elif request.since is not UNSET and request.log is not UNSET:
            since = request.since if feed.reaches(request.log, request.since) else None
        watching = Watching(
            id=request.id,
            watch=watch.number,
            resumed=since is not None,
            log=feed.log,
            revision=feed.revision,
            position=feed.position,
        )
        answer(encode(watching))
        self._watches[watch.number] = watch
        readings = self._supervisor.replica.readings
        if request.readings is True and since is None:
            readings.follow(watch, behind=False)  # its snapshot has the loads
        yield from feed.follow(watch, since)
        if request.readings is True and since is not None:
            readings.follow(watch, behind=True)


def _check_start(request: WatchRequest) -> None:
    """Raise ProtocolError unless the request says in at most one way where to go on."""
    if (request.since is UNSET) != (request.log is UNSET):
        field = "since" if request.since is UNSET else "log"
        raise ProtocolError("bad_request", f"{field}: since and log go together", field=field)
    if request.position is UNSET:
        return
    if request.since is not UNSET:
        words = "position: send it alone, or since and log"
        raise ProtocolError("bad_request", words, field="position")
    if not is_position(request.position):
        words = "position: expected one that `watching`, `snapshot` or `event` has brought"
        raise ProtocolError("bad_request", words, field="position")
