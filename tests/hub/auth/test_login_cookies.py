"""Login cookies through the hours: their keys, their end, and what an old copy of them is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.tokens import TokenRequest, digest_of
from hub.auth.administration import TokenAdministration
from hub.auth.evidence import Evidence
from hub.auth.jwt_verification import JwtPrincipal
from hub.auth.login_cookies import LIFETIME, MAX_VALUE, Login, LoginCookies
from hub.auth.operator_token import OPERATOR, OperatorToken
from hub.auth.refusals import Unauthorized
from hub.auth.token_store import TokenStore
from hub.auth.tokens import Tokens
from hub.store import Backend, connect

START = 1_800_000_000.0 // LIFETIME * LIFETIME
"""The first second of a period."""


class Clock:
    def __init__(self) -> None:
        self.now = START + 100

    def __call__(self) -> float:
        return self.now


class Setting(NamedTuple):
    """A store, a token in it, and what a hub has of it."""

    backend: Backend
    store: TokenStore
    tokens: Tokens
    clock: Clock
    token: str
    principal: Principal

    def cookies(self, *, tls: bool = False, digests: list[bytes] | None = None) -> LoginCookies:
        """Those of another hub, which has no key yet."""
        return LoginCookies(self.store, self.tokens, digests or [], None, tls=tls, wall=self.clock)

    async def log_in(self, cookies: LoginCookies, *, secure: bool = False) -> Login:
        return await cookies.log_in(self.principal, self.token, secure=secure)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    backend = await connect("memory://", hub_id="hub-1")
    store, clock = TokenStore(backend), Clock()
    tokens = Tokens(store, wall=clock)
    made = await TokenAdministration(store, clock).create(TokenRequest(role="observer"))
    principal = await tokens.look_up(Evidence(credential=made.token))
    yield Setting(backend, store, tokens, clock, made.token, principal)
    await store.close()
    await backend.aclose()


def shown(login: Login) -> Evidence:
    return Evidence(cookie=login.cookie.partition(";")[0])


async def recognised(cookies: LoginCookies, evidence: Evidence) -> Principal:
    assert cookies.claims(evidence)
    return cookies.recognise(evidence) or await cookies.look_up(evidence)


async def test_a_cookie_is_valid_for_twelve_hours_across_the_change_of_keys(
    setting: Setting,
) -> None:
    here, there = setting.cookies(), setting.cookies()
    login = await setting.log_in(here)
    assert login.principal.not_after == setting.clock.now + LIFETIME
    assert "; Max-Age=43200; HttpOnly; SameSite=Strict" in login.cookie
    setting.clock.now += LIFETIME - 1  # the next period
    for cookies in (here, there):
        found = await recognised(cookies, shown(login))
        assert found.id == setting.principal.id
        assert found.not_after == START + 100 + LIFETIME
    newer = await setting.log_in(there)
    assert (await recognised(here, shown(newer))).id == setting.principal.id
    setting.clock.now += 1
    for cookies in (here, there, setting.cookies()):
        with pytest.raises(Unauthorized) as caught:
            await recognised(cookies, shown(login))
        assert caught.value.result == "expired"


async def test_the_keys_of_two_periods_are_kept_and_no_more(setting: Setting) -> None:
    cookies = setting.cookies()
    for _ in range(5):
        await setting.log_in(cookies)
        setting.clock.now += LIFETIME
    raw: dict[bytes, bytes] = await setting.backend.client.hgetall("auth:tokens")  # type: ignore[attr-defined]
    keys = [field for field in raw if field.startswith(b":cookie:")]
    assert len(keys) == 2
    assert len(cookies._keys) == 2
    assert len(await setting.store.all()) == 1, "they are no tokens"


async def test_no_cookie_is_valid_once_its_key_is_gone_even_for_a_clock_that_is_late(
    setting: Setting,
) -> None:
    login = await setting.log_in(setting.cookies())
    setting.clock.now += 2 * LIFETIME
    await setting.log_in(setting.cookies())  # removes the first key
    setting.clock.now -= 2 * LIFETIME
    with pytest.raises(Unauthorized):
        await recognised(setting.cookies(), shown(login))


async def test_what_no_hub_wrote_signs_nothing(setting: Setting) -> None:
    period = int(START // LIFETIME)
    client = setting.backend.client  # type: ignore[attr-defined]
    await client.hset("auth:tokens", f":cookie:{period}", "no key")
    with pytest.raises(ProtocolError, match="could not be signed"):
        await setting.log_in(setting.cookies())


async def test_the_operator_of_no_store_stays_one_while_its_digest_is_given(
    setting: Setting,
) -> None:
    token = "hp1_operator"
    digest = OperatorToken(digest_of(token)).digests
    cookies = setting.cookies(digests=digest)
    login = await cookies.log_in(OPERATOR, token, secure=False)
    assert (await recognised(cookies, shown(login))).role == "operator"
    assert (await recognised(setting.cookies(digests=[bytes(32), *digest]), shown(login))).role
    for others in ([], [bytes(32)]):
        with pytest.raises(Unauthorized):
            await recognised(setting.cookies(digests=others), shown(login))


async def test_a_principal_of_another_kind_gets_nothing_from_a_cookie(setting: Setting) -> None:
    cookies = setting.cookies()
    for principal in ("certificate:CN=a", "jwt:a", "", "token:nobodysid000"):
        forged = Principal(id=principal, role="operator")
        login = await cookies.log_in(forged, "x", secure=False)
        with pytest.raises(Unauthorized):
            await recognised(cookies, shown(login))


async def test_a_cookie_for_tls_has_a_name_that_no_plain_page_can_set(setting: Setting) -> None:
    plain, tls = setting.cookies(), setting.cookies(tls=True)
    for login in (
        await setting.log_in(tls),
        await setting.log_in(plain, secure=True),  # behind a proxy that adds TLS
    ):
        assert login.cookie.startswith("__Host-homeport=")
        assert login.cookie.endswith("; Secure")
        assert "Domain" not in login.cookie
        assert (await recognised(plain, shown(login))).id == setting.principal.id
    login = await setting.log_in(plain)
    assert login.cookie.startswith("homeport=")
    assert "Secure" not in login.cookie
    assert not tls.claims(shown(login))
    assert [each.partition(";")[0] for each in tls.log_out()] == ["__Host-homeport="]
    assert len(plain.log_out()) == 2


async def test_names_that_do_not_fit_into_a_cookie_are_refused(setting: Setting) -> None:
    many = JwtPrincipal(id="jwt:a", role="agent", names=("x" * 128,) * 64, key="k")
    with pytest.raises(ProtocolError, match="too many for a cookie"):
        await setting.cookies().log_in(many, "eyJ", secure=False)
    assert MAX_VALUE < 4096


async def test_other_cookies_and_a_token_beside_it_are_left_alone(setting: Setting) -> None:
    cookies = setting.cookies()
    login = await setting.log_in(cookies)
    value = login.cookie.partition(";")[0]
    for cookie in (f"theme=dark; {value}; a=b", f'a={{"b": "c d"}}; ä ; =;;{value}'):
        assert (await recognised(cookies, Evidence(cookie=cookie))).id == setting.principal.id
    with pytest.raises(Unauthorized):  # one of them is not ours
        await recognised(cookies, Evidence(cookie=f"{value}; homeport=x"))
    for evidence in (
        Evidence(cookie="theme=dark"),
        Evidence(cookie="homeport="),
        Evidence(cookie="xhomeport=1"),
        Evidence(cookie=value, credential="hp1_x"),
        Evidence(),
    ):
        assert not cookies.claims(evidence)
    assert "homeport" not in repr(login)
