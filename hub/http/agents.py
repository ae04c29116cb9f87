"""The routes under /agents: registration, heartbeats and discovery over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from msgspec import UNSET

from actors.agent.outcomes import Acknowledged, Lease
from actors.directory.directory import Page
from actors.ports.audit import Audited, AuditedAct
from actors.runtime.turns import Steps
from homeport_protocol.codec import encode, read_float
from homeport_protocol.errors import ProtocolError
from homeport_protocol.http import (
    AGENT_NOT_FOUND,
    Confirmation,
    LegacyHeartbeat,
    LegacyHeartbeatAnswer,
    LegacyLease,
    LegacyRegistration,
    whole,
)
from hub.http.ask import ask
from hub.http.bodies import BodyTooLargeError, CallerGoneError, LateBodyError, read_body
from hub.http.ports import HubPort, NamespaceApi
from hub.http.query import Listing, Query, find_query, pick, pick_query
from hub.http.request import Request
from hub.http.responses import Answer, json, json_in_slices, refusal

T = TypeVar("T")

SLICE_BYTES = 128 * 1024
"""Bytes of a long list that are written at a time."""

_registration = msgspec.json.Decoder(LegacyRegistration, float_hook=read_float)
_heartbeat = msgspec.json.Decoder(LegacyHeartbeat, float_hook=read_float)
_BEGIN = b'{"agents":['
_REMOVED = encode(Confirmation("Agent removed successfully"))
_UNREGISTERED = encode(Confirmation("Agent unregistered successfully"))


class AgentRoutes:
    """The handlers of one hub, each for the namespace that its request names."""

    def __init__(self, hub: HubPort) -> None:
        self._hub = hub

    async def _body(self, request: Request, type_: type[T], decoder: msgspec.json.Decoder[T]) -> T:
        try:
            return await read_body(request, self._hub.max_body_bytes, type_, decoder)
        except BodyTooLargeError:
            self._hub.limits.applied("max_body_bytes")
            raise
        except LateBodyError:
            self._hub.limits.applied("request_timeout")
            raise

    async def register(self, request: Request) -> Answer:
        """`POST /agents/register`: 201 once the registration is durable.

        A caller that has hung up by then does not know the id that it was given, and the agent
        would be listed until its heartbeat is overdue: the registration is undone.
        """
        body = await self._body(request, LegacyRegistration, _registration)
        spec = body.spec()
        directory = await self._hub.namespace_to_register(request.caller)
        principal, exclusive = request.caller.principal, body.exclusive is True
        lease = await ask(
            Lease,
            lambda reply: directory.register(
                spec, body.agent_id, reply, principal=principal, exclusive=exclusive
            ),
        )
        self._audit(
            request,
            "take_over" if lease.took_over else "register",
            agent_id=lease.agent_id,
            name=spec.name,
            epoch=lease.epoch,
            revision=lease.revision,
        )
        if body.agent_id is None and request.caller_gone:
            directory.unregister(
                lease.agent_id, lambda _: None, principal=principal, token=lease.session_token
            )
            raise CallerGoneError
        answer = LegacyLease(
            agent_id=lease.agent_id,
            registered_at=lease.registered_at,
            heartbeat_url=f"/agents/{lease.agent_id}/heartbeat",
            heartbeat_interval_seconds=whole(directory.timing.heartbeat_interval),
            session_token=lease.session_token,
        )
        return json(encode(answer), status=201)

    async def heartbeat(self, request: Request) -> Answer:
        """`POST /agents/{id}/heartbeat`: 200 once it is written to the store."""
        body = await self._body(request, LegacyHeartbeat, _heartbeat)
        directory = await self._directory(request)
        agent_id, token, principal = request.value, request.session_token, request.caller.principal
        load = UNSET if body.load is None else body.load
        try:
            heard = await ask(
                Acknowledged,
                lambda reply: directory.heartbeat(
                    agent_id,
                    body.reported(),
                    body.changes(),
                    reply,
                    principal=principal,
                    load=load,
                    token=token,
                ),
            )
        except ProtocolError as error:
            if error.code != "not_found":
                raise
            return refusal(404, f"{AGENT_NOT_FOUND}: register again")
        if not heard.durable:
            # The hub counts the heartbeat, but reports success only for what is stored.
            words = f"{self._hub.store_name} is away; the heartbeat is not yet stored"
            raise ProtocolError("unavailable", words, outcome="unknown")
        answer = LegacyHeartbeatAnswer(
            received=True,
            next_interval_seconds=whole(directory.timing_of(agent_id).heartbeat_interval),
            timestamp=heard.timestamp,
        )
        return json(encode(answer))

    async def unregister(self, request: Request) -> Answer:
        """`POST /agents/{id}/unregister`: 200 once the agent is gone, or if there was none."""
        directory = await self._directory(request)
        agent_id, token, principal = request.value, request.session_token, request.caller.principal
        done = await ask(
            Acknowledged,
            lambda reply: directory.unregister(agent_id, reply, principal=principal, token=token),
        )
        self._audit(request, "end", agent_id=agent_id, revision=done.revision)
        return json(_UNREGISTERED)

    async def remove(self, request: Request) -> Answer:
        """`DELETE /agents/{id}`: an operator ends the lease; 200 once the agent is gone."""
        directory = await self._directory(request)
        agent_id = request.value
        try:
            done = await ask(Acknowledged, lambda reply: directory.remove(agent_id, reply))
        except ProtocolError as error:
            if error.code != "not_found":
                raise
            return refusal(404, "Agent not found")
        self._audit(request, "remove", agent_id=agent_id, revision=done.revision)
        return json(_REMOVED)

    async def get(self, request: Request) -> Answer:
        """`GET /agents/{id}`: the record."""
        directory = await self._directory(request)
        agent_id = request.value
        try:
            return json(await ask(bytes, lambda reply: directory.look_up(agent_id, reply)))
        except ProtocolError as error:
            if error.code != "not_found":
                raise
            return refusal(404, "Agent not found")

    async def list_all(self, request: Request) -> Answer:
        """`GET /agents`: all agents that match the query, or a page of them."""
        return await self._list(request, find_query(request.query))

    async def list_type(self, request: Request) -> Answer:
        """`GET /agents/type/{type}`: as `GET /agents`, with the type in the path."""
        return await self._list(request, find_query(request.query, request.value))

    async def pick(self, request: Request) -> Answer:
        """`GET /agents/pick`: one agent to give work to."""
        query = pick_query(request.query)
        directory = await self._directory(request)
        return json(await _perform(bytes, directory, request, pick(directory, query)))

    async def _list(self, request: Request, query: Query) -> Answer:
        # The directory keeps records as bytes, which are spliced in unchanged.
        directory = await self._directory(request)
        listing = Listing(directory, query)
        page = await _perform(Page, directory, request, listing.next_page())
        if listing.ended:
            return json(_BEGIN, page.joined, _end(listing))
        return json_in_slices(self._slices(directory, request, listing, page))

    async def _slices(
        self, directory: NamespaceApi, request: Request, listing: Listing, page: Page
    ) -> AsyncIterator[bytes]:
        yield _BEGIN
        comma = b""
        while True:
            for records in page.slices(SLICE_BYTES):
                yield comma + records
                comma = b","
            if listing.ended:
                break
            page = await _perform(Page, directory, request, listing.next_page())
        yield _end(listing)

    def _audit(
        self,
        request: Request,
        what: AuditedAct,
        *,
        agent_id: str,
        name: str = "",
        epoch: int = 0,
        revision: int,
    ) -> None:
        caller = request.caller
        act = Audited(
            what=what,
            principal=caller.principal.id,
            address=caller.address,
            agent_id=agent_id,
            name=name,
            epoch=epoch,
            revision=revision,
        )
        self._hub.audit.done(act, caller.namespace)

    async def _directory(self, request: Request) -> NamespaceApi:
        return await self._hub.namespace(request.caller.namespace)


async def _perform(
    expected: type[T], directory: NamespaceApi, request: Request, steps: Steps[T]
) -> T:
    """Do a query's steps, in turn with those of others, while the caller waits for them."""
    wanted = _while_there(request, steps)
    return await ask(expected, lambda reply: directory.perform(wanted, reply))


def _while_there(request: Request, steps: Steps[T]) -> Steps[T]:
    """The same steps, until the caller hangs up: callers could leave more behind than is done."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if request.caller_gone:
            steps.close()
            raise ProtocolError("timeout", "the caller has hung up")
        yield


def _end(listing: Listing) -> bytes:
    end, cursor = b'],"count":%d' % listing.count, listing.next_cursor
    return end + (b"}" if cursor is None else b',"next_cursor":%s}' % encode(cursor))
