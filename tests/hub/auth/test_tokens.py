"""Tokens in a store: made, recognised, revoked, used up, lost and found; on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import NewToken, TokenRequest, make_token
from hub.auth import token_store as store_module
from hub.auth import tokens as module
from hub.auth import uses as uses_module
from hub.auth.administration import TokenAdministration
from hub.auth.evidence import Evidence
from hub.auth.refusals import Unauthorized
from hub.auth.token_store import TokenStore
from hub.auth.tokens import Tokens
from hub.auth.uses import Uses
from hub.store import Backend, StoreError, connect
from tests.support.redis_servers import RedisServer, running

KEY = b"auth:tokens"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running(RedisServer()) as server:
        yield server


class Place:
    """One cluster's store; `hub` makes another hub's knowledge of it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = TokenStore(backend, timeout=10.0)
        self.now = 1_800_000_000.0
        self.administration = TokenAdministration(self.store, lambda: self.now)
        self.lane = backend.lane(KEY, 10.0)
        self.hubs: list[Tokens] = []

    async def make(self, **fields: Any) -> NewToken:
        return await self.administration.create(TokenRequest(**{"role": "agent", **fields}))

    async def hub(
        self, revoked: list[set[str]] | None = None, in_use: Iterable[str] = ()
    ) -> Tokens:
        store = TokenStore(self.backend, timeout=10.0)
        told = [] if revoked is None else revoked
        tokens = Tokens(store, told.append, lambda: self.now, lambda: in_use)
        await tokens.start()
        self.hubs.append(tokens)
        return tokens

    async def close(self) -> None:
        for each in self.hubs:
            await each.close()
        await self.store.close()
        await self.lane.drop()
        await self.backend.aclose()


@pytest.fixture(params=["memory", "server"])
async def place(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Place]:
    url = "memory://" if request.param == "memory" else server.url
    place = Place(await connect(url, hub_id="tests"))
    await place.lane.ask(b"DEL", KEY)
    yield place
    await place.close()


def shown(token: str) -> Evidence:
    return Evidence(credential=token)


async def known(hub: Tokens, token: str) -> Principal:
    """As a hub asks: from memory, and else the store."""
    return hub.recognise(shown(token)) or await hub.look_up(shown(token))


async def test_a_token_is_known_at_every_hub_as_soon_as_it_was_made(place: Place) -> None:
    hubs = [await place.hub(), await place.hub()]
    made = await place.make(names=["web-*"], namespace="blue", ttl=60.0, uses=3)
    expected = Principal(
        id=f"token:{made.id}",
        role="agent",
        namespace="blue",
        names=("web-*",),
        not_after=place.now + 60,
        limited=True,
    )
    for hub in hubs:
        assert hub.recognise(shown(made.token)) is None, "the store has to be asked"
        assert await hub.look_up(shown(made.token)) == expected
        assert hub.recognise(shown(made.token)) == expected, "and need not be asked again"


async def test_nothing_in_the_store_is_the_token(place: Place) -> None:
    made = await place.make(note="n")
    held = await place.lane.ask(b"HGETALL", KEY)
    secret = made.token.split("_")[2].encode()
    assert secret not in repr(held).encode()
    assert made.token not in repr(await place.store.all())
    assert made.token not in repr((await place.administration.all(), made))


async def test_a_wrong_secret_and_an_unknown_id_are_told_in_the_same_words(place: Place) -> None:
    hub, made = await place.hub(), await place.make()
    await known(hub, made.token)
    for wrong in (make_token(made.id, "x" * 40), make_token("a" * 12, "x" * 40)):
        assert hub.recognise(shown(wrong)) is None, "both ask the store: neither is faster"
        with pytest.raises(Unauthorized) as refusal:
            await hub.look_up(shown(wrong))
        assert (refusal.value.result, refusal.value.message) == ("unknown", module.UNKNOWN)
    with pytest.raises(Unauthorized, match="typing error"):
        hub.recognise(shown(made.token[:-1] + ("0" if made.token[-1] != "0" else "1")))


async def test_a_revocation_is_for_good_and_reaches_every_hub(place: Place) -> None:
    told: list[set[str]] = []
    hub, made, other = await place.hub(told), await place.make(), await place.make()
    principal = await known(hub, made.token)
    await known(hub, other.token)
    await place.administration.revoke(made.id)
    again = await place.administration.revoke(made.id)
    assert again.revoked is not None
    await hub.refresh()
    assert told == [{principal.id}]
    assert hub.ended(principal) == "the token was revoked"
    assert hub.is_revoked(principal.id)
    fresh = await place.hub()
    for each in (hub, fresh):
        with pytest.raises(Unauthorized, match="the token was revoked"):
            await known(each, made.token)
        assert await known(each, other.token)
    assert hub.ended(Principal(id="jwt:x", role="agent")) is None


async def test_a_hub_polls_for_revocations_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_INTERVAL", 0.01)
    told: list[set[str]] = []
    await place.hub(told)
    made = await place.make()
    await place.administration.revoke(made.id)
    async with asyncio.timeout(10):
        while not told:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_many_that_are_looked_up_at_once_cost_few_reads(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await place.hub()
    made = [await place.make() for _ in range(20)]
    reads: list[int] = []
    read = TokenStore.read

    async def counted(store: TokenStore, ids: Any) -> Any:
        reads.append(len(list(ids)))
        return await read(store, ids)

    monkeypatch.setattr(TokenStore, "read", counted)
    found = await asyncio.gather(*(hub.look_up(shown(each.token)) for each in made * 5))
    assert len(found) == 100
    assert len(reads) <= 2
    assert max(reads) == 20


async def test_uses_are_taken_and_given_back_one_by_one(place: Place) -> None:
    uses = Uses(place.store)
    made = await place.make(uses=2)

    async def take() -> ProtocolError | None:
        answer: asyncio.Future[ProtocolError | None] = asyncio.get_running_loop().create_future()
        uses.take(f"token:{made.id}", answer.set_result)
        return await answer

    assert [await take(), await take()] == [None, None]
    third = await take()
    assert third is not None
    assert third.code == "forbidden"
    assert (await place.administration.show(made.id)).uses == 0
    uses.give_back(f"token:{made.id}")
    async with asyncio.timeout(10):
        while (await place.administration.show(made.id)).uses != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await take() is None
    await uses.close()


async def test_a_step_that_is_repeated_is_done_once(place: Place) -> None:
    made = await place.make(uses=3)
    for _ in range(3):
        assert await place.store.take_use(made.id, "abc")
    assert (await place.administration.show(made.id)).uses == 2
    for _ in range(3):
        await place.store.give_use_back(made.id, "def")
    assert (await place.administration.show(made.id)).uses == 3
    assert not await place.store.take_use("a" * 12, "ghi"), "there is no such token"


async def test_a_use_that_was_taken_without_an_answer_is_given_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses_module, "RETRY", 0.01)
    made = await place.make(uses=1)
    take, failures = TokenStore.take_use, iter([True, True])

    async def unanswered(store: TokenStore, token_id: str, step: str) -> bool:
        taken = await take(store, token_id, step)
        if next(failures, False):
            raise StoreError("no answer")
        return taken

    monkeypatch.setattr(TokenStore, "take_use", unanswered)
    uses = Uses(place.store)
    answers: list[ProtocolError | None] = []
    uses.take(f"token:{made.id}", answers.append)
    async with asyncio.timeout(10):
        while not answers:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        while (await place.administration.show(made.id)).uses != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (answer,) = answers
    assert answer is not None
    assert answer.code == "unavailable"
    await uses.close()


async def test_while_the_store_is_away_only_so_many_uses_wait(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses_module, "MAX_STEPS", 3)
    made = await place.make(uses=9)

    async def away(store: TokenStore, token_id: str, step: str) -> bool:
        raise StoreError("away")

    monkeypatch.setattr(TokenStore, "take_use", away)
    uses = Uses(place.store)
    answers: list[ProtocolError | None] = []
    for _ in range(3):
        uses.take(f"token:{made.id}", answers.append)
    async with asyncio.timeout(10):
        while len(answers) < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    uses.take(f"token:{made.id}", answers.append)
    codes = [None if each is None else each.code for each in answers]
    assert codes == ["unavailable"] * 3 + ["rate_limited"]
    await uses.close()


async def test_when_a_token_was_used_last_is_written_now_and_then(place: Place) -> None:
    hub, made = await place.hub(), await place.make()
    await known(hub, made.token)
    assert (await place.administration.show(made.id)).last_used is None
    place.now += 100
    await known(hub, made.token)
    await hub.close()
    used = (await place.administration.show(made.id)).last_used
    assert used == "2027-01-15T08:01:00.000000Z", "to the minute"
    place.hubs.clear()


async def test_a_token_is_in_use_for_as_long_as_a_websocket_of_it_is_open(place: Place) -> None:
    made = await place.make()
    open_now = [f"token:{made.id}", "token:operator", "jwt:ci"]
    hub = await place.hub(in_use=open_now)
    await known(hub, made.token)
    await hub._write_used()
    place.now += 86400
    await hub._write_used()
    used = "2027-01-16T08:00:00.000000Z"
    assert (await place.administration.show(made.id)).last_used == used
    assert not hub.is_revoked("token:operator"), "which is in no store"
    open_now.clear()
    place.now += 86400
    await hub._write_used()
    assert (await place.administration.show(made.id)).last_used == used


async def test_an_older_use_does_not_hide_a_later_one(place: Place) -> None:
    hubs, made = [await place.hub(), await place.hub()], await place.make()
    await known(hubs[0], made.token)
    place.now += 120
    await known(hubs[1], made.token)
    await hubs[1]._write_used()
    await hubs[0]._write_used()
    used = (await place.administration.show(made.id)).last_used
    assert used == "2027-01-15T08:02:00.000000Z"


async def test_a_token_that_somebody_deleted_ends_when_its_use_is_written(place: Place) -> None:
    told: list[set[str]] = []
    hub, made = await place.hub(told), await place.make()
    principal = await known(hub, made.token)
    await place.lane.ask(b"HDEL", KEY, made.id.encode())
    await hub._write_used()
    assert told == [{principal.id}]
    assert hub.ended(principal) is not None


async def test_a_server_that_lost_all_gets_the_tokens_back_that_hubs_know(place: Place) -> None:
    hubs = [await place.hub(), await place.hub()]
    first, second, revoked = [await place.make() for _ in range(3)]
    for hub, made in ((hubs[0], first), (hubs[1], second), (hubs[0], revoked)):
        await known(hub, made.token)
    await place.administration.revoke(revoked.id)
    for hub in hubs:
        await hub.refresh()
    await place.lane.ask(b"DEL", KEY)
    for hub in hubs:
        await hub.refresh()
    third = await place.hub()
    for made in (first, second):
        assert await known(third, made.token)
    for hub in (*hubs, third):
        with pytest.raises(Unauthorized, match="revoked"):
            await known(hub, revoked.token)


async def test_a_revocation_that_a_failover_lost_is_made_again(place: Place) -> None:
    hub, made, other = await place.hub(), await place.make(), await place.make()
    await known(hub, made.token)
    await place.administration.revoke(made.id)
    await hub.refresh()
    await place.lane.ask(b"HDEL", KEY, made.id.encode() + b":revoked")
    await place.administration.revoke(other.id)
    await hub.refresh()
    assert (await place.administration.show(made.id)).revoked is not None


@pytest.mark.parametrize(
    "junk",
    [b"", b"x", b"{}", b"\xff", b"[" * 100_000, b'{"sha256":"0","role":"agent"}', b"null"],
)
async def test_facts_that_no_hub_wrote_cost_the_one_token(place: Place, junk: bytes) -> None:
    made, broken = await place.make(), await place.make()
    await place.lane.ask(b"HSET", KEY, broken.id.encode(), junk)
    await place.lane.ask(b"HSET", KEY, b"~what is this", junk)
    hub = await place.hub()
    assert await known(hub, made.token)
    with pytest.raises(Unauthorized):
        await known(hub, broken.token)
    assert [each.id for each in await place.administration.all()] == [made.id]
    first, second = place.store.warnings()
    assert broken.id in first
    assert "~what is this" in second
    await place.lane.ask(b"HDEL", KEY, broken.id.encode(), b"~what is this")
    await place.store.look_again()
    assert place.store.warnings() == []


@pytest.mark.parametrize("value", [b"", b"x", b"nan", b"inf", b"1e999", b"9" * 40, b"-1"])
async def test_other_fields_that_no_hub_wrote_do_no_harm(place: Place, value: bytes) -> None:
    made = await place.make(uses=1)
    for field in (b":revoked", b":uses", b":used", b":steps"):
        await place.lane.ask(b"HSET", KEY, made.id.encode() + field, value)
    hub = await place.hub()
    with pytest.raises(Unauthorized, match="revoked"):
        await known(hub, made.token)
    facts = await place.administration.show(made.id)
    assert (facts.revoked is not None, facts.uses) == (True, 0)
    assert not await place.store.take_use(made.id, "abc")


async def test_a_key_of_another_type_is_told_plainly(place: Place) -> None:
    await place.lane.ask(b"SET", KEY, b"x")
    with pytest.raises(StoreError, match="another type"):
        await place.store.revision()
    (warning,) = place.store.warnings()
    assert "homeport repair" in warning
    hub = await place.hub()
    with pytest.raises(ProtocolError) as unavailable:
        await known(hub, make_token("a" * 12, "x" * 40))
    assert unavailable.value.code == "unavailable"
    with pytest.raises(ProtocolError, match="another type") as error:
        await place.make()
    assert error.value.code == "unavailable"
    await place.lane.ask(b"DEL", KEY)
    assert await known(hub, (await place.make()).token)
    assert place.store.warnings() == []


async def test_there_is_a_bound_and_what_ran_out_long_ago_makes_room(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_TOKENS", 3)
    made = [await place.make(ttl=60.0, uses=1) for _ in range(3)]
    with pytest.raises(ProtocolError, match="which is the most") as error:
        await place.make()
    assert error.value.code == "conflict"
    place.now += 60 + 8 * 86400
    last = await place.make()
    assert [each.id for each in await place.administration.all()] == [last.id]
    held = await place.lane.ask(b"HGETALL", KEY)
    assert made[0].id not in repr(held), "no field of it is left"


async def test_a_token_is_shown_as_run_out_for_a_week(place: Place) -> None:
    made = await place.make(ttl=60.0)
    place.now += 3600
    assert [each.id for each in await place.administration.all()] == [made.id]


@pytest.mark.parametrize(
    ("fields", "namespace"),
    [
        ({"role": "agent"}, "default"),
        ({"role": "operator"}, "*"),
        ({"role": "operator", "namespace": "blue"}, "blue"),
        ({"role": "observer", "namespace": "*"}, "*"),
        ({"role": "caller"}, "default"),
    ],
)
async def test_the_namespace_of_a_token(
    place: Place, fields: dict[str, Any], namespace: str
) -> None:
    assert (await place.make(**fields)).namespace == namespace


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "agent", "namespace": "*"}, "namespace"),
        ({"role": "caller", "namespace": "*"}, "namespace"),
        ({"role": "observer", "uses": 1}, "uses"),
        ({"role": "caller", "names": ["a"]}, "names"),
    ],
)
async def test_what_does_not_go_together_is_refused(
    place: Place, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(ProtocolError) as error:
        await place.make(**fields)
    assert (error.value.code, error.value.field) == ("bad_request", field)


async def test_while_the_store_is_away_known_tokens_go_on_and_unknown_ones_cannot_be_checked() -> (
    None
):
    with running(RedisServer()) as server:
        place = Place(await connect(server.url, hub_id="tests"))
        hub, made, later = await place.hub(), await place.make(), await place.make()
        principal = await known(hub, made.token)
        server.kill()
        assert hub.recognise(shown(made.token)) == principal
        with pytest.raises(ProtocolError) as error:
            await known(hub, later.token)
        assert error.value.code == "unavailable"
        server.start()
        place.hubs.clear()
        await hub.close()
        await place.close()
