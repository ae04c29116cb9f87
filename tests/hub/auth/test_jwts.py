"""JWTs at a hub: keys from a file and from a URL, read again, and those who lose theirs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from hub.auth import jwts as hub_jwts
from hub.auth.evidence import Evidence
from hub.auth.jwk_set import JwkSetError
from hub.auth.jwt_keys import FETCH_AGAIN, FETCH_EVERY, JwtKeys
from hub.auth.jwts import Jwts
from hub.auth.refusals import Unauthorized
from tests.support.jwt_issuer import JwksServer, Key, claims, jwks
from tests.support.ports import free_port


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def shown(token: str) -> Evidence:
    return Evidence(credential=token)


def recogniser(keys: JwtKeys) -> Jwts:
    return Jwts(keys, issuer=None, audience=None)


def test_the_keys_of_a_file_are_read_again_when_it_changes(tmp_path: Path) -> None:
    old, new = Key("old"), Key("new")
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(old))
    keys = JwtKeys(str(file))
    hub = recogniser(keys)
    principal = hub.recognise(shown(old.sign(claims())))
    assert principal is not None
    assert principal.id == "jwt:robot"
    assert hub.ended(principal) is None
    assert not keys.look()
    file.write_bytes(jwks(old, new))
    assert keys.look()
    assert hub.ended(principal) is None
    assert hub.recognise(shown(new.sign(claims())))
    file.write_bytes(jwks(new))
    assert keys.look()
    assert hub.ended(principal) == "the key that signed the token is no longer trusted"
    with pytest.raises(Unauthorized):
        hub.recognise(shown(old.sign(claims())))


def test_a_token_that_is_known_is_refused_once_its_key_is_gone(tmp_path: Path) -> None:
    old = Key("old")
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(old))
    keys = JwtKeys(str(file))
    hub, token = recogniser(keys), old.sign(claims())
    assert hub.recognise(shown(token)) is hub.recognise(shown(token)), "verified once"
    file.write_bytes(jwks(Key("old")))  # another key of the same name
    assert keys.look()
    with pytest.raises(Unauthorized):
        hub.recognise(shown(token))


def test_a_file_that_cannot_be_used_later_leaves_the_keys(tmp_path: Path) -> None:
    key = Key()
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(key))
    keys = JwtKeys(str(file))
    file.write_text("{")
    assert not keys.look()
    assert keys.problem == f"jwt_keys: {file} is not JSON"
    assert recogniser(keys).recognise(shown(key.sign(claims())))
    file.write_bytes(jwks(key, Key("k2")))
    assert keys.look()
    assert keys.problem is None


def test_a_file_that_cannot_be_used_at_the_start_is_one_plain_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(JwkSetError) as caught:
        JwtKeys(str(missing))
    assert str(caught.value) == (f"jwt_keys: {missing} cannot be read: no such file or directory")


def test_other_principals_are_none_of_its_business(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(Key()))
    hub = recogniser(JwtKeys(str(file)))
    assert hub.ended(Principal(id="token:abc", role="agent")) is None
    assert not hub.claims(Evidence(credential="hp1_abc"))
    assert not hub.claims(Evidence())
    assert not hub.claims(Evidence(certificate=b"x"))


def test_what_is_known_is_bounded_and_long_tokens_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_jwts, "MAX_KNOWN", 3)
    key = Key()
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(key))
    hub = recogniser(JwtKeys(str(file)))
    for number in range(10):
        hub.recognise(shown(key.sign(claims(sub=f"robot-{number}"))))
    hub.recognise(shown(key.sign(claims(note="x" * 3000))))
    assert len(hub._known) == 3


# --- a URL --------------------------------------------------------------------------------------


async def test_the_keys_of_a_url_are_fetched_again_regularly() -> None:
    old, new, clock = Key("old"), Key("new"), Clock()
    with JwksServer(jwks(old)) as server:
        keys = JwtKeys(server.url, clock)
        hub = recogniser(keys)
        principal = hub.recognise(shown(old.sign(claims())))
        assert principal is not None
        server.body = jwks(new)
        clock.now += FETCH_EVERY - 1
        assert not keys.look()
        assert server.asked == 1
        clock.now += 1
        assert keys.look()
        assert hub.ended(principal) is not None


async def test_an_unknown_kid_has_the_keys_fetched_at_most_once_in_ten_seconds() -> None:
    old, new, clock = Key("old"), Key("new"), Clock()
    with JwksServer(jwks(old)) as server:
        keys = JwtKeys(server.url, clock)
        hub = recogniser(keys)
        server.body = jwks(old, new)
        with pytest.raises(Unauthorized):  # too early
            hub.recognise(shown(new.sign(claims())))
        clock.now += FETCH_AGAIN
        evidence = shown(new.sign(claims()))
        assert hub.recognise(evidence) is None
        found = await asyncio.gather(*(hub.look_up(evidence) for _ in range(50)))
        assert {each.id for each in found} == {"jwt:robot"}
        assert server.asked == 2, "one fetch for all"
        for number in range(100):
            with pytest.raises(Unauthorized):
                hub.recognise(shown(Key(f"made-up-{number % 2}").sign(claims())))
        assert server.asked == 2


async def test_a_url_that_fails_later_leaves_the_keys_and_is_told() -> None:
    key, clock = Key(), Clock()
    with JwksServer(jwks(key)) as server:
        keys = JwtKeys(f"{server.url}?key=s3cret", clock)
        hub = recogniser(keys)
        for body, status, words in [
            (b"", 503, "answers 503"),
            (b"<html>", 200, "is not JSON"),
            (b" " * 300_000, 200, "is larger than"),
        ]:
            server.body, server.status = body, status
            clock.now += FETCH_EVERY
            assert not keys.look()
            assert keys.problem is not None
            assert keys.problem.startswith(f"jwt_keys: {server.url} {words}")
            assert hub.recognise(shown(key.sign(claims())))
        server.body, server.status = jwks(key), 200
        clock.now += FETCH_AGAIN
        assert not keys.look()
        assert keys.problem is None


async def test_a_url_that_never_answered_is_no_verdict_on_a_token() -> None:
    clock, port = Clock(), free_port()
    keys = JwtKeys(f"http://127.0.0.1:{port}/jwks.json", clock)
    assert keys.problem is not None
    hub, token = recogniser(keys), Key().sign(claims())
    with pytest.raises(ProtocolError) as caught:
        hub.recognise(shown(token))
    assert caught.value.code == "unavailable"
    clock.now += FETCH_AGAIN
    assert hub.recognise(shown(token)) is None  # worth another try


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://h:x/", "https://\xe9.\u200b/", "https://"]
)
def test_a_url_that_is_none_is_told_and_no_crash(url: str) -> None:
    keys = JwtKeys(url)
    assert keys.problem is not None
    assert keys.problem.startswith(f"jwt_keys: {url} cannot be read")


def test_no_proxy_comes_between_a_hub_and_keys_of_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with JwksServer(jwks(Key())) as server:
        assert JwtKeys(server.url).problem is None


async def test_a_server_that_trickles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.auth.jwt_keys.FETCH_TIMEOUT", 0.3)

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    keys = await asyncio.to_thread(JwtKeys, f"http://127.0.0.1:{port}/jwks.json")
    assert time.monotonic() - began < 20
    assert keys.problem is not None
    assert "does not answer within" in keys.problem
    server.close()
