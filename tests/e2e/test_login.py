"""Browsers: a token is given once, and a cookie stands for it until the token ends."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import StartHub, StartServer
from tests.support.certificate_authority import Authority
from tests.support.hub_process import Hub
from tests.support.jwt_issuer import Key, claims, jwks
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens, revoke_token
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

OPERATOR = "hp1_operator0000_not-in-any-store"
SHA256 = hashlib.sha256(OPERATOR.encode()).hexdigest()


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def tokens(server: RedisServer) -> dict[str, str]:
    return make_tokens(server.url, watcher={"role": "observer"})


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def keys(tmp_path: Path, key: Key) -> Path:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(key))
    return file


@pytest.fixture
def hubs(server: RedisServer, tokens: dict[str, str], start_hub: StartHub, keys: Path) -> list[Hub]:
    options = ("--redis", server.url, "--auth", "required", "--jwt-keys", str(keys))
    options += ("--operator-token-sha256", SHA256)
    return [start_hub(*options, "--hub-id", f"hub-{number}") for number in (1, 2)]


def log_in(hub: Hub, token: str, **options: object) -> requests.Response:
    return requests.post(
        f"{hub.url}/login",
        json={"token": token},
        headers={"Origin": hub.url},
        timeout=LIMIT,
        **options,  # type: ignore[arg-type]
    )


def cookie_of(answer: requests.Response) -> dict[str, str]:
    """The header that a browser sends from then on."""
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def status(hub: Hub, headers: dict[str, str], path: str = "/agents") -> int:
    return requests.get(hub.url + path, headers=headers, timeout=LIMIT).status_code


def test_a_cookie_stands_for_its_token_at_every_hub_and_on_both_transports(
    hubs: list[Hub], tokens: dict[str, str], key: Key
) -> None:
    jwt = key.sign(claims(homeport={"role": "observer"}))
    for token, role in [(tokens["watcher"], "observer"), (OPERATOR, "operator"), (jwt, "observer")]:
        answer = log_in(hubs[0], token)
        assert answer.json()["role"] == role
        attributes = answer.headers["Set-Cookie"].split("; ")[1:]
        lasting = [each for each in attributes if each.startswith("Max-Age=")]
        assert len(lasting) == 1
        assert set(attributes) - set(lasting) == {"Path=/", "HttpOnly", "SameSite=Strict"}
        cookie = cookie_of(answer)
        assert token not in cookie["Cookie"]
        assert token[17:] not in cookie["Cookie"]
        for hub in hubs:
            assert status(hub, cookie) == 200
            wire = Wire(hub.url, headers={**cookie, "Origin": hub.url})
            wire.watch()
            wire.drop()
        # No agent matches; a role that may not pick is not told so.
        assert status(hubs[1], cookie, "/agents/pick") == (404 if role == "operator" else 403)


def test_a_cookie_ends_with_its_token_at_every_hub(
    hubs: list[Hub], server: RedisServer, tokens: dict[str, str]
) -> None:
    cookie = cookie_of(log_in(hubs[0], tokens["watcher"]))
    wires = [Wire(hub.url, headers=cookie) for hub in hubs]
    revoke_token(server.url, tokens["watcher"])
    for wire in wires:
        assert wire.closing(LIMIT)[0] == 4401
    for hub in hubs:
        assert status(hub, cookie) == 401
        with pytest.raises(RefusedError) as caught:
            Wire(hub.url, headers=cookie)
        assert caught.value.status == 401


def test_a_cookie_is_valid_no_longer_than_its_token(hubs: list[Hub], server: RedisServer) -> None:
    """Its end in virtual time is shown by `tests/hub/auth/test_login_cookies.py`."""
    short = make_tokens(server.url, short={"role": "observer", "ttl": 600.0})["short"]
    answer = log_in(hubs[0], short)
    seconds = int(answer.headers["Set-Cookie"].partition("Max-Age=")[2].partition(";")[0])
    assert 0 < seconds <= 600
    assert status(hubs[1], cookie_of(answer)) == 200


def test_a_jwt_whose_key_is_gone_ends_its_cookie(hubs: list[Hub], key: Key, keys: Path) -> None:
    cookie = cookie_of(log_in(hubs[0], key.sign(claims(homeport={"role": "observer"}))))
    assert status(hubs[1], cookie) == 200
    keys.write_bytes(jwks(Key("other")))
    wait_until(lambda: {status(hub, cookie) for hub in hubs} == {401}, LIMIT)


def test_a_changed_cookie_is_refused_wherever_it_is_changed(
    hubs: list[Hub], tokens: dict[str, str]
) -> None:
    name, _, value = cookie_of(log_in(hubs[0], tokens["watcher"]))["Cookie"].partition("=")
    period, payload, mac = value.split(".")
    facts = json.loads(urlsafe_b64decode(payload + "==="))
    assert tokens["watcher"].split("_")[2] not in json.dumps(facts)
    longer = urlsafe_b64encode(json.dumps({**facts, "until": time.time() + 1e6}).encode()).decode()
    for forged in (
        f"{period}.{longer}.{mac}",
        f"{period}.{payload}.",
        f"{period}.{payload}.{mac[:-1]}",
        f"{int(period) - 1}.{payload}.{mac}",
        f"{int(period) + 1}.{payload}.{mac}",
        f"{int(period) + 5}.{payload}.{mac}",
        f"{payload}.{mac}",
        f"{period}.{payload}.ä",
        "x",
        "..",
        f"٣.{payload}.{mac}",
    ):
        cookie = {"Cookie": f"{name}={forged}".encode().decode("latin-1")}
        assert status(hubs[0], cookie) == 401, forged
    other = {"Cookie": f"theme=dark; {name}={value}; x=y"}
    assert status(hubs[0], other) == 200


def test_a_wrong_token_gets_no_cookie_and_is_in_no_log(hubs: list[Hub]) -> None:
    wrong = "hp1_aaaaaaaaaaaa_" + "S3cret" * 8
    for token in (wrong, "S3cretS3cretS3cret", "eyJS3cret.S3cret.S3cret"):
        answer = log_in(hubs[0], token)
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers
        assert "S3cret" not in answer.text
    for body in ({}, {"token": ""}, {"token": 1}, {"token": "x" * 9000}, {"token": "x", "y": 1}):
        answer = requests.post(f"{hubs[0].url}/login", json=body, timeout=LIMIT)
        assert answer.status_code == 400, answer.text
    assert "S3cret" not in hubs[0].log()


def test_logging_out_has_the_browser_forget_the_cookie(
    hubs: list[Hub], tokens: dict[str, str]
) -> None:
    with requests.Session() as browser:
        browser.trust_env = False
        browser.post(f"{hubs[0].url}/login", json={"token": tokens["watcher"]}, timeout=LIMIT)
        assert browser.get(f"{hubs[0].url}/agents", timeout=LIMIT).status_code == 200
        assert browser.post(f"{hubs[0].url}/logout", timeout=LIMIT).status_code == 200
        assert not browser.cookies
        assert browser.get(f"{hubs[0].url}/agents", timeout=LIMIT).status_code == 401


def test_a_token_counts_before_a_cookie(hubs: list[Hub], tokens: dict[str, str]) -> None:
    cookie = cookie_of(log_in(hubs[0], tokens["watcher"]))
    assert status(hubs[0], {**cookie, **bearer("hp1_nonsense")}) == 401
    assert status(hubs[0], {"Cookie": "homeport=x", **bearer(tokens["watcher"])}) == 200


def test_under_tls_the_cookie_is_for_tls_alone(
    start_hub: StartHub, server: RedisServer, tokens: dict[str, str], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue()
    hub = start_hub(
        *("--redis", server.url, "--auth", "required"),
        *("--tls-cert", str(pair.cert), "--tls-key", str(pair.key)),
    )
    answer = log_in(hub, tokens["watcher"], verify=str(authority.file))
    said = answer.headers["Set-Cookie"]
    assert said.startswith("__Host-homeport=")
    assert "; Secure" in said
    assert "Domain" not in said


def test_where_nobody_is_asked_there_is_no_cookie(start_hub: StartHub) -> None:
    hub = start_hub("--redis", "memory://")
    answer = log_in(hub, "anything")
    assert answer.json() == {
        "role": "operator",
        "namespace": "*",
        "names": ["*"],
        "not_after": None,
    }
    assert "Set-Cookie" not in answer.headers
