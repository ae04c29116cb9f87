"""How registrations begin: what is checked and waited for before an agent's actor is asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from msgspec import Struct

from actors.agent.messages import SessionHandle
from actors.agent.outcomes import Lease, Outcome, Reply, unavailable
from actors.agent.ref import AgentRef
from actors.cluster.replica import Replica
from actors.limits import LimitName
from actors.namespace.actor_registry import ActorRegistry
from actors.ports.authority import Authority
from actors.ports.clock import RandomSource
from actors.ports.conditions import Reason
from actors.rules.permissions import Principal, check_name
from actors.rules.registration_rate import RegistrationRate
from homeport_protocol.errors import ProtocolError
from homeport_protocol.record import AgentSpec

MAX_TAKING = 1024
"""Registrations that may wait for one of their principal's uses; one more is `rate_limited`."""


class Registration(Struct, gc=False, kw_only=True):
    """A registration that was asked for; `reply` is called once, with a Lease or a ProtocolError.

    `session` is None over HTTP. `asked` is called when the agent's actor has been asked. Nothing
    happens, and nothing is answered, once `wanted` is False: its session has ended.
    """

    spec: AgentSpec
    agent_id: str
    principal: Principal
    reply: Reply
    exclusive: bool
    session: SessionHandle | None
    wanted: Callable[[], bool]
    asked: Callable[[AgentRef], None]


class Registrations:
    """Begins registrations.

    Where another hub may know more (whose the agent is, whether another session of it lives, or
    whether it is new), everything durable is folded first. A new agent of a principal whose uses
    are limited takes one of them; it is given back if the registration is not made. `make` makes
    the namespace for a principal; it returns True if that did not exist before, and raises
    ProtocolError when the principal may not. `rate` is that of all namespaces together.
    """

    def __init__(
        self,
        *,
        registry: ActorRegistry,
        replica: Replica,
        authority: Authority,
        random: RandomSource,
        not_ready: Callable[[], list[Reason]],
        make: Callable[[Principal], bool],
        rate: RegistrationRate,
        limited: Callable[[LimitName], None],
    ) -> None:
        self._registry = registry
        self._replica = replica
        self._authority = authority
        self._random = random
        self._not_ready = not_ready
        self._make = make
        self._rate = rate
        self._limited = limited
        self._joining: list[Registration] | None = None
        """Those that wait until this hub has made the namespace, or found that another one did."""
        self._taking = 0
        self.draining = False
        """Whether no more agents are taken."""

    def new_id(self) -> str:
        """An id for an agent that brings none."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def begin(self, registration: Registration) -> None:
        """Begin a registration, now or once what it depends on is known."""
        if self._refuses(registration):
            return
        try:
            if self._make(registration.principal):
                self.made()
        except ProtocolError as error:
            registration.reply(error)
            return
        if self._joining is not None:
            self._joining.append(registration)
        else:
            self._begin(registration)

    def made(self) -> None:
        """The namespace did not exist and does now: what is registered waits until it is open."""
        if self._joining is None:
            self._joining = []
            self._replica.rejoin(self._joined)

    def _joined(self) -> None:
        waiting, self._joining = self._joining or [], None
        for registration in waiting:
            if registration.wanted():
                self._begin(registration)

    def _begin(self, registration: Registration) -> None:
        principal, alone = registration.principal, self._replica.membership.alone
        depends = registration.exclusive or principal.limited or self._is_anothers(registration)
        if depends and not alone:
            self._replica.committer.catch_up(lambda _complete: self._caught_up(registration))
        else:
            self._caught_up(registration)

    def _caught_up(self, registration: Registration) -> None:
        if not registration.wanted():
            return
        if registration.principal.limited and not self._is_its_own(registration):
            self._take_use(registration)
        else:
            self._ask(registration, registration.reply)

    def _take_use(self, registration: Registration) -> None:
        if self._taking >= MAX_TAKING:
            words = "too many registrations wait to be counted against their tokens"
            registration.reply(ProtocolError("rate_limited", words))
            return
        self._taking += 1
        principal_id = registration.principal.id

        def replied(outcome: Outcome) -> None:
            if not isinstance(outcome, Lease):
                self._authority.give_back_use(principal_id)
            registration.reply(outcome)

        def taken(error: ProtocolError | None) -> None:
            self._taking -= 1
            if error is not None:
                if registration.wanted():
                    registration.reply(error)
            elif not registration.wanted():
                self._authority.give_back_use(principal_id)
            else:
                self._ask(registration, replied)

        self._authority.take_use(principal_id, taken)

    def _ask(self, registration: Registration, reply: Reply) -> None:
        if not self._replica.ready or self.draining:
            reply(unavailable(self._not_ready()))
            return
        agent = self._registry.get_or_create(registration.agent_id)
        agent.register(
            registration.session,
            registration.spec,
            reply,
            self._registry.now(),
            registration.principal,
            exclusive=registration.exclusive,
        )
        registration.asked(agent)

    def _refuses(self, registration: Registration) -> bool:
        if not self._replica.ready or self.draining:
            registration.reply(unavailable(self._not_ready()))
            return True
        field = "name" if registration.session is None else "agent.name"
        try:
            check_name(registration.principal, registration.spec.name, field)
            self._check_rate(registration.principal)
        except ProtocolError as error:
            registration.reply(error)
            return True
        return False

    def _check_rate(self, principal: Principal) -> None:
        wait = self._rate.wait(principal, self._registry.now())
        if wait:
            self._limited("max_registrations_per_second")
            raise ProtocolError(
                "rate_limited",
                f"more than {self._rate.rate:,} registrations a second, or {self._rate.burst:,} at "
                "once, of this principal (max_registrations_per_second, registration_burst)",
                retry_after=wait,
            )

    def _is_its_own(self, registration: Registration) -> bool:
        """Whether the agent is there, and belongs to the principal already."""
        known = self._registry.knows(registration.agent_id)
        return known and self._owner(registration) == registration.principal.id

    def _is_anothers(self, registration: Registration) -> bool:
        """Whether the agent belongs to another principal, as far as this hub has heard."""
        return self._owner(registration) not in ("", registration.principal.id)

    def _owner(self, registration: Registration) -> str:
        return self._replica.owners.of(registration.agent_id)
