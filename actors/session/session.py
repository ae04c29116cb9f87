"""One websocket connection, from its first message to its end, without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import assert_never, get_args

from msgspec import UNSET

from actors.agent.outcomes import Acknowledged, Lease, Outcome, Reply, gone, unavailable
from actors.agent.ref import AgentRef
from actors.namespace.supervisor import Supervisor
from actors.ports.link import Link
from actors.rules.permissions import Principal, check
from actors.runtime.turns import Steps, Work
from actors.session import answers, queries
from actors.session.acts import ACTS
from actors.session.auditing import audited
from actors.session.keepalive import Keepalive, KeepaliveFailure
from actors.session.pipeline import FOR_ITS_AGENT, LARGE, MAX_PIPELINE, Item, Pipeline
from actors.session.watches import SessionWatches
from homeport_protocol.answers import Pong, Removed, Unregistered
from homeport_protocol.codec import decode_request, encode, error_answer
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.record import NO_CHANGES, AgentChanges
from homeport_protocol.requests import (
    AcknowledgeLoss,
    Find,
    FindFlapping,
    Get,
    Heartbeat,
    ListHubs,
    Pick,
    Ping,
    Register,
    Remove,
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

_DISCARD = (CloseCode.READS_TOO_SLOWLY, CloseCode.UNAUTHORIZED)
"""With these a connection ends without what it has not been sent yet."""

_CHANGES = AgentChanges.__struct_fields__
_OP_OF = {kind: str(kind.__struct_config__.tag) for kind in get_args(Request)}


class Session:
    """The hub's end of one connection; no method raises for what a peer does."""

    __slots__ = (
        "_agent",
        "_ended",
        "_gone",
        "_held",
        "_keepalive",
        "_link",
        "_malformed",
        "_pipeline",
        "_registering",
        "_supervisor",
        "_watches",
        "_work",
        "principal",
    )

    def __init__(self, supervisor: Supervisor, link: Link, principal: Principal) -> None:
        self._supervisor = supervisor
        self._link = link
        self.principal = principal
        """Whom the connection acts for, as its handshake showed."""
        self._agent: AgentRef | None = None
        self._registering = False  # or resuming
        self._malformed = 0
        self._watches: SessionWatches | None = None  # most connections watch nothing
        self._ended = False
        self._gone = False  # so is the connection
        self._held: deque[bytes] | None = None if supervisor.ready else deque()
        """Messages whose turn has not come; None when each is taken as it comes."""
        self._work: Work[bytes] | None = None  # of the query under way
        self._pipeline = Pipeline(link, self)
        self._keepalive = Keepalive(supervisor.registry, link, self._keepalive_failed)
        supervisor.join(self)
        if self._held is not None:
            supervisor.when_ready(self._take_held)

    # --- what the connection calls ---------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """One complete text message."""
        if self._ended:
            return
        if len(data) >= LARGE:
            self._pipeline.large_came(len(data))
        if self._held is not None:
            self._held.append(data)
            self._pipeline.undecoded = len(self._held)
            self._pipeline.regulate()
            return
        try:
            request = decode_request(data)
        except ProtocolError as error:
            self._pipeline.take(error)
            self._malformed += 1
            if self._malformed >= MAX_MALFORMED:
                self.end(CloseCode.PROTOCOL_ERROR, f"{MAX_MALFORMED} malformed messages in a row")
            return
        self._malformed = 0
        pipeline = self._pipeline
        if type(request) is Heartbeat and self._agent and pipeline.free:
            # The short way of nearly all messages: nothing before this one has to be waited for.
            self._keepalive.activity_came()
            self._heartbeat(request, self._agent)
            if pipeline.unanswered >= MAX_PIPELINE:
                pipeline.regulate()
        else:
            self._note_activity(request)
            pipeline.take(request)

    def hold(self) -> None:
        """Take the messages from here on when their turn comes, behind what others ask for.

        For a peer that has sent more at once than may be taken at once. Once all have been taken,
        later ones are taken as they come.
        """
        if self._held is None and not self._ended:
            self._held = deque()
            self._supervisor.turns.later(self._held_messages(), _nothing)

    def received_binary(self) -> None:
        """A binary message: not of this protocol."""
        self.end(CloseCode.PROTOCOL_ERROR, "messages are text, one JSON object each")

    def pong(self) -> None:
        """The peer answered a ping."""
        if self._ended:
            return
        self._keepalive.activity_came()
        if self._agent is not None and not self._registering:
            self._agent.active(self, message=False)

    def blocked(self) -> None:
        """The peer has not read what was sent; the link keeps the rest."""
        self._keepalive.blocked()

    def drained(self) -> None:
        """The peer has read on."""
        if self._watches is not None:
            self._watches.pump()
        self._pipeline.go_on()

    def closed(self) -> None:
        """The connection is gone. What has been read from it is taken first."""
        self._gone = True
        if self._ended:
            self._supervisor.part(self)
        elif not (self._held and self._supervisor.ready):
            self._leave()

    # --- what the brain calls --------------------------------------------------------------------

    @property
    def agent_id(self) -> str | None:
        """The agent that the connection has registered or resumed, or is about to."""
        return None if self._agent is None else self._agent.agent_id

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; nothing more is sent, or taken from the peer."""
        if self._ended:
            return
        self._leave()
        self._link.close(code, reason, discard=code in _DISCARD)

    def _keepalive_failed(self, failure: KeepaliveFailure) -> None:
        match failure:
            case "silent":
                self.end(CloseCode.LEASE_LOST, "no sign of life in time")
            case "reads too slowly":
                self._supervisor.observer.limited("send_timeout")
                timeout = self._supervisor.timing.send_timeout
                self.end(
                    CloseCode.READS_TOO_SLOWLY, f"nothing was read for send_timeout, {timeout:g} s"
                )
            case _:
                assert_never(failure)

    def _take_held(self) -> None:
        """The hub is ready: take the messages that came before it was."""
        if not self._ended:
            self._supervisor.turns.start(self._held_messages(), _nothing)

    def _held_messages(self) -> Steps[None]:
        """Take the messages that are held, one a step, as if each came now."""
        held = self._held
        while held and not self._ended:
            data = held.popleft()
            self._pipeline.undecoded = len(held)
            self._held = None
            self.received(data)
            self._held = held
            yield
        self._held = None
        self._pipeline.undecoded = 0
        if self._gone:
            self._leave()
        else:
            self._pipeline.regulate()

    def _note_activity(self, request: Request) -> None:
        """A valid message is activity. A request that goes to the agent's actor at once says so."""
        self._keepalive.activity_came()
        if self._agent is None or self._registering:
            return
        if not (self._pipeline.free and isinstance(request, FOR_ITS_AGENT)):
            self._agent.active(self, message=True)

    def _leave(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._keepalive.stop()
        self._pipeline.clear()
        if self._work is not None:
            self._work.cancel()
        if self._watches is not None:
            self._watches.end_all()
        if self._agent is not None:
            self._agent.socket_lost(self, self._supervisor.now())
        if self._gone:
            self._supervisor.part(self)

    # --- requests --------------------------------------------------------------------------------

    def perform(self, item: Item) -> None:
        """Answer a request, or have its agent's actor answer it; called by the pipeline."""
        if isinstance(item, ProtocolError):
            self._refuse(item, None)
            return
        try:
            act = ACTS[type(item)]
            if act is not None:
                check(self.principal, act)
            match item:
                case Heartbeat():
                    self._heartbeat(item, self._registered_agent())
                case Find():
                    self._query(item, queries.find(self._supervisor, item))
                case FindFlapping():
                    self._query(item, queries.flapping(self._supervisor, item))
                case Get():
                    self._get(item)
                case Pick():
                    self._query(item, queries.pick(self._supervisor, item))
                case Register():
                    self._register(item)
                case Resume():
                    self._resume(item)
                case Update():
                    self._update(item)
                case Unregister():
                    self._unregister(item)
                case WatchRequest():
                    begun = partial(self._answer, item)
                    self._session_watches().start(item, self._pipeline, begun)
                case Unwatch():
                    self._answer(item, self._session_watches().end(item))
                case Ping():
                    self._answer(item, encode(Pong(id=item.id)))
                case ListHubs():
                    self._answer(item, queries.hubs(self._supervisor, item))
                case Remove():
                    self._remove(item)
                case AcknowledgeLoss():
                    self._acknowledge_loss(item)
                case _:
                    assert_never(item)
        except ProtocolError as error:
            self._refuse(error, item)

    def _answer(self, request: Request, payload: bytes) -> None:
        self._supervisor.observer.answered(_OP_OF[type(request)], "ok")
        if not self._ended:
            self._link.send(payload)

    def _audit(self, request: Request, outcome: Outcome) -> None:
        act = audited(request, outcome, self.principal, self._link.address, self.agent_id)
        if act is not None:
            self._supervisor.observer.audited(act)

    def _refuse(self, error: ProtocolError, request: Request | None) -> None:
        if request is not None:
            self._audit(request, error)
        op = "unknown" if request is None else _OP_OF[type(request)]
        self._supervisor.observer.answered(op, error.code)
        if not self._ended:
            request_id = error.request_id if request is None else request.id
            self._link.send(encode(error_answer(error, request_id)))

    def _reply(self, request: Request, answer: Callable[[Acknowledged], bytes]) -> Reply:
        """A reply that answers the request under way with `answer`, or refuses it."""

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, Acknowledged):
                self._audit(request, outcome)
                self._answer(request, answer(outcome))
            elif isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
            self._pipeline.answered()

        return reply

    # --- requests to the connection's agent ------------------------------------------------------

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
        supervisor, pipeline = self._supervisor, self._pipeline
        supervisor.count_heartbeat()
        pipeline.begin()

        def reply(outcome: Outcome) -> None:  # as `_reply`, and a call less
            if isinstance(outcome, Acknowledged):
                ack = answers.heartbeat_ack(request, outcome, supervisor.timing)
                self._answer(request, ack)
            elif isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
            pipeline.answered()

        agent.heartbeat(self, changes, reply, self._keepalive.last_activity_at)

    def _update(self, request: Update) -> None:
        agent = self._registered_agent()
        changes = AgentChanges(**{name: getattr(request, name) for name in _CHANGES})
        self._pipeline.begin()

        reply = self._reply(
            request, lambda done: answers.updated(request, done, self._supervisor.log)
        )
        agent.update(self, changes, reply, self._keepalive.last_activity_at)

    def _unregister(self, request: Unregister) -> None:
        agent = self._registered_agent()
        self._pipeline.begin()

        def reply(outcome: Outcome) -> None:
            if isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
                self._pipeline.answered()
            else:
                self._audit(request, outcome)
                self._answer(request, encode(Unregistered(id=request.id)))
                self._agent = None
                self.end(CloseCode.DONE, "unregistered")

        agent.unregister(self, reply, self._keepalive.last_activity_at)

    # --- registering and resuming ----------------------------------------------------------------

    def _register(self, request: Register) -> None:
        self._begin_registering()

        def asked(agent: AgentRef) -> None:
            self._hold(agent if self._registering else None)  # else it is answered already

        self._supervisor.register(
            request.agent,
            None if request.agent_id is UNSET else request.agent_id,
            lambda outcome: self._registered(request, outcome),
            self,
            principal=self.principal,
            exclusive=request.exclusive is True,
            wanted=lambda: not self._ended,
            asked=asked,
        )

    def _resume(self, request: Resume) -> None:
        self._begin_registering()

        def found(agent: AgentRef | ProtocolError | None) -> None:
            if self._ended:
                return  # while it was looked for
            if self._supervisor.draining:
                agent = unavailable(self._supervisor.not_ready_reasons())
            if not isinstance(agent, AgentRef):
                self._registered(request, agent or gone())
                return
            self._hold(agent)
            agent.resume(
                self,
                request.session_token,
                request.agent,
                lambda outcome: self._registered(request, outcome),
                self._keepalive.last_activity_at,
                self.principal,
            )

        # It may have been registered at another hub a moment ago, and so may its newest token.
        self._supervisor.locate(request.agent_id, found, current=True)

    def _begin_registering(self) -> None:
        if self._agent is not None:
            raise ProtocolError(
                "already_registered",
                "an agent is registered on this connection: one connection, one agent",
            )
        self._registering = True
        self._pipeline.begin_alone()

    def _hold(self, agent: AgentRef | None) -> None:
        self._agent = agent
        self._keepalive.ends_silence = agent is None

    def _registered(self, request: Register | Resume, outcome: Outcome) -> None:
        self._registering = False
        if isinstance(outcome, Lease):
            self._audit(request, outcome)
            timing = self._supervisor.timing
            self._answer(request, answers.registered(request, outcome, timing))
        else:
            self._hold(None)
            if isinstance(outcome, ProtocolError):
                self._refuse(outcome, request)
        self._pipeline.answered()

    # --- queries and watches ---------------------------------------------------------------------

    def _query(self, request: Request, steps: Steps[bytes]) -> None:
        """Answer with what the steps come to, now or when their turn comes."""
        turns = self._supervisor.turns
        answer = turns.attempt(steps)
        if answer is not None:
            self._answer(request, answer)
            return
        self._pipeline.begin_alone()

        def done(answer: bytes | ProtocolError) -> None:
            self._work = None
            if isinstance(answer, ProtocolError):
                self._refuse(answer, request)
            else:
                self._answer(request, answer)
            self._pipeline.answered()

        self._work = turns.later(steps, done)

    def _get(self, request: Get) -> None:
        self._pipeline.begin_alone()

        def reply(found: bytes | ProtocolError) -> None:
            if isinstance(found, ProtocolError):
                self._refuse(found, request)
            else:
                self._answer(request, queries.agent(request, found))
            self._pipeline.answered()

        self._supervisor.look_up(request.agent_id, reply)

    def _remove(self, request: Remove) -> None:
        self._pipeline.begin_alone()
        removed = encode(Removed(id=request.id))
        self._supervisor.remove(request.agent_id, self._reply(request, lambda done: removed))

    def _acknowledge_loss(self, request: AcknowledgeLoss) -> None:
        agents = self._supervisor.stats().agents_lost_at_once
        self._pipeline.begin_alone()

        self._supervisor.acknowledge_loss(
            self._reply(request, lambda done: answers.loss_acknowledged(request, done, agents))
        )

    def _session_watches(self) -> SessionWatches:
        if self._watches is None:
            self._watches = SessionWatches(self._supervisor, self._link)
        return self._watches


def _nothing(_result: object) -> None:
    """What came of it is nobody's concern."""
