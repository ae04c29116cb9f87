"""One websocket connection, from its first message to its end, without I/O.

Requests are answered in order. Those that change the connection's agent go to its actor, several
at a time; a query behind them waits until they are answered, so that it sees what they did, and
everything behind a registration waits for its outcome. Queries also wait for a peer that has much
to read before it asks for more.
"""

from __future__ import annotations

from typing import assert_never, get_args

from msgspec import UNSET

from actors.agent.outcomes import Acknowledged, Lease, Outcome, gone, unavailable
from actors.agent.ref import AgentRef
from actors.namespace.supervisor import Supervisor
from actors.ports.link import Link
from actors.session import queries
from actors.session.keepalive import Keepalive, KeepaliveFailure
from actors.session.watches import SessionWatches
from actors.watch.watch import HIGH_WATER
from homeport_protocol.answers import (
    HeartbeatAck,
    LossAcknowledged,
    Pong,
    Registered,
    Unregistered,
    Updated,
)
from homeport_protocol.codec import decode_request, encode, error_answer
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentChanges
from homeport_protocol.requests import (
    AcknowledgeLoss,
    Find,
    Get,
    Heartbeat,
    ListHubs,
    Pick,
    Ping,
    Register,
    Request,
    Resume,
    Unregister,
    Unwatch,
    Update,
)
from homeport_protocol.requests import (
    Watch as WatchRequest,
)

MAX_MALFORMED = 10
"""Malformed messages in a row that end a connection with 4400."""

MAX_PIPELINE = 256
"""Requests not yet answered beyond which the connection is not read, until half are."""

_Item = Request | ProtocolError
_FOR_ITS_AGENT = (Heartbeat, Update, Unregister)
"""Requests that the connection's agent is asked; its actor answers them in order."""
_CHANGES = AgentChanges.__struct_fields__
_OP_OF = {kind: str(kind.__struct_config__.tag) for kind in get_args(Request)}


class Session:
    """The hub's end of one connection; no method raises on a peer's account."""

    def __init__(self, supervisor: Supervisor, link: Link) -> None:
        self._supervisor = supervisor
        self._link = link
        self._agent: AgentRef | None = None
        self._joining = False
        self._unanswered = 0
        self._others_wait = False  # until what is under way has been answered
        self._advancing = False
        self._queue: list[_Item] = []  # mostly empty, and an empty deque takes 0.7 KB
        self._early: list[bytes] | None = None if supervisor.ready else []
        self._paused = False
        self._malformed = 0
        self._watches: SessionWatches | None = None  # most connections watch nothing
        self._ended = False
        self._keepalive = Keepalive(supervisor.registry, link, self._failed)
        supervisor.join(self)
        if self._early is not None:
            supervisor.when_ready(self._begin)

    # --- what the connection tells ---------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """One complete text message."""
        if self._ended:
            return
        if self._early is not None:
            self._early.append(data)
            self._regulate()
            return
        try:
            request = decode_request(data)
        except ProtocolError as error:
            self._take(error)
            self._malformed += 1
            if self._malformed >= MAX_MALFORMED:
                self.end(CloseCode.PROTOCOL_ERROR, f"{MAX_MALFORMED} malformed messages in a row")
            return
        self._malformed = 0
        if type(request) is Heartbeat and self._agent and not (self._others_wait or self._queue):
            # Nearly always, and nothing that goes before has to be looked at.
            self._keepalive.heard()
            self._heartbeat(request, self._agent)
            if self._unanswered >= MAX_PIPELINE:
                self._regulate()
        else:
            self._heard(request)
            self._take(request)

    def received_binary(self) -> None:
        """A binary message: not of this protocol."""
        self.end(CloseCode.PROTOCOL_ERROR, "messages are text, one JSON object each")

    def pong(self) -> None:
        """The peer answered a ping."""
        if self._ended:
            return
        self._keepalive.heard()
        if self._agent is not None and not self._joining:
            self._agent.active(self, message=False)

    def blocked(self) -> None:
        """The peer has not read what was sent; the link keeps the rest."""
        self._keepalive.blocked()

    def drained(self) -> None:
        """The peer has read on."""
        if self._watches is not None:
            self._watches.pump()
        self._go_on()

    def closed(self) -> None:
        """The connection is gone."""
        self._leave()
        self._supervisor.part(self)

    # --- what the brain tells --------------------------------------------------------------------

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; nothing more is sent or heard."""
        if self._ended:
            return
        self._leave()
        self._link.close(code, reason, discard=code is CloseCode.READS_TOO_SLOWLY)

    def _failed(self, verdict: KeepaliveFailure) -> None:
        if verdict == "silent":
            self.end(CloseCode.LEASE_LOST, "no sign of life in time")
        else:
            self.end(CloseCode.READS_TOO_SLOWLY, "nothing was read for too long")

    # --- taking turns ----------------------------------------------------------------------------

    def _begin(self) -> None:
        early, self._early = self._early or [], None
        for data in early:
            self.received(data)
        self._regulate()

    def _take(self, item: _Item) -> None:
        if self._queue or self._must_wait(item):
            self._queue.append(item)
        else:
            self._perform(item)
        if self._unanswered + len(self._queue) >= MAX_PIPELINE:
            self._regulate()

    def _must_wait(self, item: _Item) -> bool:
        """Whether what was asked before has to be answered first, or those answers to be read."""
        if isinstance(item, _FOR_ITS_AGENT):
            return self._others_wait
        return self._unanswered > 0 or self._link.unsent >= HIGH_WATER

    def _regulate(self) -> None:
        """Stop reading a peer that asks faster than it is answered."""
        held = len(self._queue) + self._unanswered + len(self._early or ())
        if not self._paused and held >= MAX_PIPELINE:
            self._paused = True
            self._link.pause_reading()
        elif self._paused and held <= MAX_PIPELINE // 2:
            self._paused = False
            self._link.resume_reading()

    def _advance(self) -> None:
        """Perform what need not wait. What is answered at once comes back here, once."""
        if self._advancing:
            return
        self._advancing = True
        queue = self._queue
        while queue and not self._ended:
            if self._must_wait(queue[0]):
                break
            self._perform(queue.pop(0))
        self._advancing = False

    def _begin_alone(self) -> None:
        """A request is under way that no actor keeps in order with those behind it."""
        self._unanswered += 1
        self._others_wait = True

    def _answered(self) -> None:
        self._unanswered -= 1
        self._others_wait = False
        self._go_on()

    def _go_on(self) -> None:
        if self._queue:
            self._advance()
        if self._paused:
            self._regulate()

    def _heard(self, request: Request) -> None:
        """A valid message is a sign of life; what goes to the agent's actor at once tells it so."""
        self._keepalive.heard()
        if (
            self._agent is not None
            and not self._joining
            and (self._queue or self._others_wait or not isinstance(request, _FOR_ITS_AGENT))
        ):
            self._agent.active(self, message=True)

    def _leave(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._keepalive.stop()
        self._queue.clear()
        if self._watches is not None:
            self._watches.end_all()
        if self._agent is not None:
            self._agent.socket_lost(self, self._supervisor.now())

    def _answer(self, request: Request, payload: bytes) -> None:
        self._supervisor.observer.answered(_OP_OF[type(request)], "ok")
        if not self._ended:
            self._link.send(payload)

    def _refuse(self, error: ProtocolError, request: Request | None) -> None:
        op = "unknown" if request is None else _OP_OF[type(request)]
        self._supervisor.observer.answered(op, error.code)
        if not self._ended:
            request_id = error.request_id if request is None else request.id
            self._link.send(encode(error_answer(error, request_id)))

    # --- requests --------------------------------------------------------------------------------

    def _perform(self, item: _Item) -> None:
        if isinstance(item, ProtocolError):
            self._refuse(item, None)
            return
        try:
            match item:
                case Heartbeat():
                    self._heartbeat(item, self._registered_agent())
                case Find():
                    self._answer(item, queries.find(self._supervisor, item))
                case Get():
                    self._get(item)
                case Pick():
                    self._answer(item, queries.pick(self._supervisor, item))
                case Register():
                    self._register(item)
                case Resume():
                    self._resume(item)
                case Update():
                    self._update(item)
                case Unregister():
                    self._unregister(item)
                case WatchRequest():
                    self._watch(item)
                case Unwatch():
                    self._unwatch(item)
                case Ping():
                    self._answer(item, encode(Pong(id=item.id)))
                case ListHubs():
                    self._answer(item, queries.hubs(self._supervisor, item))
                case AcknowledgeLoss():
                    self._acknowledge_loss(item)
                case _:
                    assert_never(item)
        except ProtocolError as error:
            self._refuse(error, item)

    def _get(self, request: Get) -> None:
        self._begin_alone()

        def reply(found: bytes | ProtocolError) -> None:
            if isinstance(found, ProtocolError):
                self._refuse(found, request)
            else:
                self._answer(request, queries.agent(request, found))
            self._answered()

        self._supervisor.look_up(request.agent_id, reply)

    def _registered_agent(self) -> AgentRef:
        if self._agent is None:
            raise ProtocolError(
                "not_registered", "no agent is registered on this connection: register first"
            )
        return self._agent

    def _heartbeat(self, request: Heartbeat, agent: AgentRef) -> None:
        changes = NO_CHANGES
        if not (request.status is request.metadata is request.load is UNSET):
            changes = AgentChanges(
                status=request.status, metadata=request.metadata, load=request.load
            )
        supervisor = self._supervisor
        supervisor.count_heartbeat()
        self._unanswered += 1

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, Acknowledged):
                ack = HeartbeatAck(
                    id=request.id,
                    next_interval=supervisor.timing.heartbeat_interval,
                    timestamp=outcome.timestamp,
                    durable=outcome.durable,
                )
                self._answer(request, encode(ack))
            elif isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
            self._answered()

        agent.heartbeat(self, changes, reply, self._keepalive.heard_at)

    def _update(self, request: Update) -> None:
        agent = self._registered_agent()
        changes = AgentChanges(**{name: getattr(request, name) for name in _CHANGES})
        self._unanswered += 1

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, Acknowledged):
                log = self._supervisor.log
                updated = Updated(id=request.id, log=log, revision=outcome.revision)
                self._answer(request, encode(updated))
            elif isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
            self._answered()

        agent.update(self, changes, reply, self._keepalive.heard_at)

    def _unregister(self, request: Unregister) -> None:
        agent = self._registered_agent()
        self._unanswered += 1

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
                self._answered()
            else:
                self._answer(request, encode(Unregistered(id=request.id)))
                self._agent = None
                self.end(CloseCode.DONE, "unregistered")

        agent.unregister(self, reply, self._keepalive.heard_at)

    def _register(self, request: Register) -> None:
        self._check_unregistered()
        agent_id = None if request.agent_id is UNSET else request.agent_id
        self._join()
        agent = self._supervisor.register(
            request.agent, agent_id, lambda outcome: self._joined(request, outcome), self
        )
        self._hold(agent if self._joining else None)

    def _resume(self, request: Resume) -> None:
        self._check_unregistered()
        self._join()

        def found(agent: AgentRef | ProtocolError | None) -> None:
            if self._ended:
                return  # while it was looked for
            if self._supervisor.draining:
                agent = unavailable(self._supervisor.not_ready_reasons())
            if not isinstance(agent, AgentRef):
                self._joined(request, agent or gone())
                return
            self._hold(agent)
            agent.resume(
                self,
                request.session_token,
                request.agent,
                lambda outcome: self._joined(request, outcome),
                self._keepalive.heard_at,
            )

        # Its registration may be news of another hub, and so may be its newest token.
        self._supervisor.locate(request.agent_id, found, current=True)

    def _hold(self, agent: AgentRef | None) -> None:
        self._agent = agent
        self._keepalive.judge_silence = agent is None

    def _check_unregistered(self) -> None:
        if self._agent is not None:
            raise ProtocolError(
                "already_registered",
                "an agent is registered on this connection: one connection, one agent",
            )

    def _join(self) -> None:
        self._joining = True
        self._begin_alone()

    def _joined(self, request: Register | Resume, outcome: Outcome) -> None:
        self._joining = False
        if isinstance(outcome, Lease):
            timing = self._supervisor.timing
            self._answer(
                request,
                encode(
                    Registered(
                        id=request.id,
                        agent_id=outcome.agent_id,
                        session_token=outcome.session_token,
                        epoch=outcome.epoch,
                        resumed=outcome.resumed,
                        registered_at=outcome.registered_at,
                        heartbeat_interval=timing.heartbeat_interval,
                        heartbeat_timeout=timing.heartbeat_timeout,
                        lease_ttl=timing.lease_ttl,
                        log=outcome.log,
                        revision=outcome.revision,
                    )
                ),
            )
        else:
            self._hold(None)
            if isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
        self._answered()

    def _acknowledge_loss(self, request: AcknowledgeLoss) -> None:
        agents = self._supervisor.stats().agents_lost_at_once
        self._begin_alone()

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, Acknowledged):
                revision = outcome.revision
                answer = LossAcknowledged(id=request.id, agents=agents, revision=revision)
                self._answer(request, encode(answer))
            elif isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
            self._answered()

        self._supervisor.acknowledge_loss(reply)

    # --- watches ---------------------------------------------------------------------------------

    def _watch(self, request: WatchRequest) -> None:
        supervisor, watches = self._supervisor, self._watch_set()
        watch = watches.make(request)

        def begin() -> None:
            watches.begin(request, watch, lambda payload: self._answer(request, payload))

        if request.since is UNSET or request.since <= supervisor.revision or supervisor.alone:
            begin()
            return
        # It comes from a hub that has folded more: catch up, rather than lead it back in time.
        self._begin_alone()

        def caught_up(_complete: bool) -> None:
            if not self._ended:
                begin()
            self._answered()

        supervisor.catch_up(caught_up)

    def _unwatch(self, request: Unwatch) -> None:
        self._answer(request, self._watch_set().end(request))

    def _watch_set(self) -> SessionWatches:
        if self._watches is None:
            self._watches = SessionWatches(self._supervisor, self._link)
        return self._watches
