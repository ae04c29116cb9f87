"""JWTs: which are taken, and the attacks that RFC 8725 tells of."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth.jwk_set import JwkSet, JwkSetError, read_jwk_set
from hub.auth.jwt_verification import LEEWAY, JwtPrincipal, is_jwt, verify
from hub.auth.refusals import Unauthorized
from tests.support.jwt_issuer import KEYS, Key, jwks, part

NOW = 1_800_000_000.0
GRANT = {"role": "agent", "namespace": "prod", "names": ["web-*", "db"]}
ANY_KEY = Key()
ANY_KEYS = read_jwk_set(jwks(ANY_KEY))
GOOD: dict[str, Any] = {"sub": "robot", "exp": NOW + 60, "homeport": GRANT}


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture(scope="module")
def keys(key: Key) -> JwkSet:
    return read_jwk_set(jwks(key))


def taken(
    token: str, keys: JwkSet, issuer: str | None = None, audience: str | None = None
) -> JwtPrincipal:
    return verify(token, keys, NOW, issuer=issuer, audience=audience)


def refused(token: str, keys: JwkSet, **expected: str) -> str:
    """The words of the refusal, in which nothing of the token may be."""
    with pytest.raises(Unauthorized) as caught:
        verify(token, keys, NOW, issuer=expected.get("issuer"), audience=expected.get("audience"))
    assert token not in repr(caught.value)
    return caught.value.message


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_of_the_three_algorithms_is_taken(algorithm: str) -> None:
    key = Key("k", algorithm)
    principal = taken(key.sign(GOOD), read_jwk_set(jwks(key)))
    assert principal.id == "jwt:robot"
    assert principal.role == "agent"
    assert principal.namespace == "prod"
    assert principal.names == ("web-*", "db")
    assert principal.not_after == NOW + 60


@pytest.mark.parametrize(
    ("grant", "namespace"),
    [
        ({"role": "operator"}, "*"),
        ({"role": "agent"}, "default"),
        ({"role": "observer", "namespace": "*"}, "*"),
        ({"role": "caller", "namespace": "a", "more": 1}, "a"),
    ],
)
def test_the_namespace_is_that_of_a_token_with_the_same_facts(
    key: Key, keys: JwkSet, grant: dict[str, Any], namespace: str
) -> None:
    principal = taken(key.sign({**GOOD, "homeport": grant}), keys)
    assert (principal.namespace, principal.names) == (namespace, ("*",))


# --- who signed it, and how ---------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["ES256"], 1])
def test_a_token_that_is_not_signed_is_refused(key: Key, keys: JwkSet, algorithm: object) -> None:
    for signature in ("", key.sign(GOOD).rpartition(".")[2]):
        token = f"{part({'alg': algorithm, 'kid': 'k1'})}.{part(GOOD)}.{signature}"
        assert "not signed with one of RS256, ES256, EdDSA" in refused(token, keys)


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "x"])
def test_the_public_key_as_a_secret_of_hmac_is_refused(key: Key, keys: JwkSet, form: str) -> None:
    public = key.private.public_key()
    encoding = serialization.Encoding.PEM if form == "pem" else serialization.Encoding.DER
    secret = {
        "jwk": json.dumps(key.jwk).encode(),
        "x": key.jwk["x"].encode(),
    }.get(form) or public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    for algorithm, digest in [("HS256", hashlib.sha256), ("HS512", hashlib.sha512)]:
        signed = f"{part({'alg': algorithm, 'kid': 'k1', 'typ': 'JWT'})}.{part(GOOD)}"
        token = f"{signed}.{part(hmac.new(secret, signed.encode(), digest).digest())}"
        assert "not signed with one of" in refused(token, keys)


def test_a_key_is_for_its_own_algorithm_alone() -> None:
    elliptic, rsa = Key("a", "ES256"), Key("b", "RS256")
    keys = read_jwk_set(jwks(elliptic, rsa))
    for signer, kid in [(elliptic, "b"), (rsa, "a")]:
        assert "no key" in refused(signer.sign(GOOD, kid=kid), keys)
    crossed = elliptic.sign_parts({"alg": "RS256", "kid": "b"}, GOOD)
    assert "signature" in refused(crossed, keys)
    for algorithm in ("RS384", "RS512", "PS256", "ES384", "ES512", "ES256K"):
        token = elliptic.sign_parts({"alg": algorithm, "kid": "a"}, GOOD)
        assert "not signed with one of" in refused(token, keys)


def test_another_key_and_a_changed_token_are_refused(key: Key, keys: JwkSet) -> None:
    assert "signature" in refused(Key("k1").sign(GOOD), keys)
    header, payload, signature = key.sign(GOOD).split(".")
    other = part({**GOOD, "homeport": {"role": "operator"}})
    assert "signature" in refused(f"{header}.{other}.{signature}", keys)
    assert "signature" in refused(f"{header}.{payload}.", keys)
    assert "signature" in refused(f"{header}.{payload}.{'A' * 86}", keys)


@pytest.mark.parametrize("kid", ["k2", "", "../../etc/passwd", "k1' OR '1'='1", "k1\x00"])
def test_an_unknown_kid_finds_no_key(key: Key, keys: JwkSet, kid: str) -> None:
    assert "no key" in refused(key.sign(GOOD, kid=kid), keys)


@pytest.mark.parametrize("kid", [1, ["k1"], {"a": 1}, True])
def test_a_kid_that_is_no_text_is_refused(key: Key, keys: JwkSet, kid: object) -> None:
    assert "kid" in refused(key.sign_parts({"alg": "ES256", "kid": kid}, GOOD), keys)


def test_without_a_kid_the_only_key_of_the_algorithm_is_meant() -> None:
    first, second, rsa = Key("a"), Key("b"), Key("c", "RS256")
    token = first.sign_parts({"alg": "ES256"}, GOOD)
    assert taken(token, read_jwk_set(jwks(first, rsa))).id == "jwt:robot"
    assert "no key" in refused(token, read_jwk_set(jwks(first, second)))


def test_keys_in_the_header_are_never_used(keys: JwkSet) -> None:
    mine = Key("mine")
    for header in (
        {"jwk": mine.jwk},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
    ):
        token = mine.sign_parts({"alg": "ES256", "kid": "k1", **header}, GOOD)
        assert "signature" in refused(token, keys)


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}],
)
def test_extensions_of_the_header_are_refused(
    key: Key, keys: JwkSet, header: dict[str, Any]
) -> None:
    token = key.sign_parts({"alg": "ES256", "kid": "k1", **header}, GOOD)
    assert "extension" in refused(token, keys)


# --- for whom it is, and for how long -----------------------------------------------------------


def test_a_token_that_ran_out_is_refused_without_leeway(key: Key, keys: JwkSet) -> None:
    for exp in (NOW, NOW - 1, NOW - 0.5, 0):
        with pytest.raises(Unauthorized) as caught:
            taken(key.sign_parts({"alg": "ES256", "kid": "k1"}, {**GOOD, "exp": exp}), keys)
        assert caught.value.result == "expired"
        assert caught.value.subject == "jwt:robot"


@pytest.mark.parametrize("exp", [None, "soon", "1900000000", True, -1, 1e300, [], {}])
def test_a_token_without_a_time_at_which_it_runs_out_is_refused(
    key: Key, keys: JwkSet, exp: object
) -> None:
    for payload in ({**GOOD, "exp": exp}, {k: v for k, v in GOOD.items() if k != "exp"}):
        token = key.sign_parts({"alg": "ES256", "kid": "k1"}, payload)
        assert "exp" in refused(token, keys)


def test_no_constant_that_json_does_not_know_is_a_time(key: Key, keys: JwkSet) -> None:
    for constant in ("NaN", "Infinity", "-Infinity", "1e999"):
        payload = json.dumps(GOOD).replace(str(GOOD["exp"]), constant).encode()
        token = key.sign_parts({"alg": "ES256", "kid": "k1"}, payload)
        assert refused(token, keys)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_of_the_future_is_refused_beyond_the_leeway(
    key: Key, keys: JwkSet, claim: str
) -> None:
    assert "not yet valid" in refused(key.sign({**GOOD, claim: NOW + LEEWAY + 1}), keys)
    assert taken(key.sign({**GOOD, claim: NOW + LEEWAY}), keys)
    assert taken(key.sign({**GOOD, claim: NOW - 1000}), keys)


def test_the_issuer_must_be_the_expected_one(key: Key, keys: JwkSet) -> None:
    for issuer in ("https://other", None, ["https://issuer"], "https://issuer/"):
        payload = {**GOOD, "iss": issuer}
        token = key.sign_parts({"alg": "ES256", "kid": "k1"}, payload)
        assert refused(token, keys, issuer="https://issuer")
    assert taken(key.sign({**GOOD, "iss": "https://issuer"}), keys, issuer="https://issuer")
    assert taken(key.sign({**GOOD, "iss": "https://issuer"}), keys)


def test_the_audience_must_have_the_expected_one(key: Key, keys: JwkSet) -> None:
    for audience in ("other", ["other", "homeport2"], None, [], "", {"homeport": 1}):
        token = key.sign_parts({"alg": "ES256", "kid": "k1"}, {**GOOD, "aud": audience})
        assert refused(token, keys, audience="homeport")
    for audience in ("homeport", ["other", "homeport"]):
        assert taken(key.sign({**GOOD, "aud": audience}), keys, audience="homeport")


def test_without_an_expected_audience_a_token_for_somebody_is_refused(
    key: Key, keys: JwkSet
) -> None:
    assert "audience" in refused(key.sign({**GOOD, "aud": "billing"}), keys)
    assert taken(key.sign(GOOD), keys)


# --- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", [None, "", 7, ["robot"], "a\nb", "x" * 257])
def test_a_subject_is_text_of_bounded_length(key: Key, keys: JwkSet, sub: object) -> None:
    token = key.sign_parts({"alg": "ES256", "kid": "k1"}, {**GOOD, "sub": sub})
    assert "sub" in refused(token, keys)


@pytest.mark.parametrize(
    "grant",
    [
        None,
        {},
        "operator",
        {"role": "root"},
        {"role": "agent", "namespace": "*"},
        {"role": "agent", "namespace": "no such name!"},
        {"role": "agent", "names": []},
        {"role": "agent", "names": "web-*"},
        {"role": "agent", "names": ["x"] * 65},
        {"role": ["operator"]},
    ],
)
def test_a_grant_that_no_token_could_have_is_refused(key: Key, keys: JwkSet, grant: object) -> None:
    words = refused(
        key.sign_parts({"alg": "ES256", "kid": "k1"}, {**GOOD, "homeport": grant}), keys
    )
    assert "homeport" in words
    assert "root" not in words, "the token's own words"


def test_a_claim_that_occurs_twice_is_refused(key: Key, keys: JwkSet) -> None:
    text = json.dumps(GOOD)
    doubled = [
        text[:-1] + ', "sub": "somebody else"}',
        text.replace('"role": "agent"', '"role": "agent", "role": "operator"'),
    ]
    for payload in doubled:
        token = key.sign_parts({"alg": "ES256", "kid": "k1"}, payload.encode())
        assert "each name occurs once" in refused(token, keys)
    header = b'{"alg": "none", "alg": "ES256", "kid": "k1"}'
    assert "each name occurs once" in refused(key.sign_parts(header, GOOD), keys)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 3000, b'{"sub":' * 1000, b"1"]
)
def test_a_payload_that_is_no_object_is_refused(key: Key, keys: JwkSet, payload: bytes) -> None:
    assert "payload" in refused(key.sign_parts({"alg": "ES256", "kid": "k1"}, payload), keys)


@pytest.mark.parametrize("token", ["eyJ..", "eyJ.e.e", "eyJ!!.a.b", "eyJhbGciOiJFUzI1NiJ9.."])
def test_what_only_looks_like_a_token_is_refused(keys: JwkSet, token: str) -> None:
    assert is_jwt(token)
    refused(token, keys)


def test_nothing_else_looks_like_a_token() -> None:
    for text in ("", "hp1_abc", "eyJhbGciOiJub25lIn0", "a.b.c", "eyJ.a.b.c.d"):
        assert not is_jwt(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ("sub", "exp", "homeport", "nbf", "iat", "iss", "aud")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.fixed_dictionaries({}, optional={name: JSON | st.just(GOOD.get(name)) for name in NAMES}),
    st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "x5u"]), JSON, max_size=2),
)
def test_whatever_is_signed_is_taken_or_refused_and_nothing_else(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    token = ANY_KEY.sign_parts({"alg": "ES256", "kid": "k1", **header}, claims)
    try:
        ends = taken(token, ANY_KEYS).not_after
    except Unauthorized:
        return
    assert ends is not None
    assert ends > NOW


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "n", "e", "x", "y", "alg", "use", "kid", "key_ops"]),
            JSON,
        ),
        max_size=3,
    )
)
def test_whatever_a_set_holds_it_is_read_or_refused_and_nothing_else(
    changes: list[dict[str, Any]],
) -> None:
    members = [{**ANY_KEY.jwk, **change} for change in changes]
    try:
        read_jwk_set(json.dumps({"keys": members}).encode())
    except JwkSetError:
        pass


# --- the set of keys ----------------------------------------------------------------------------


def test_keys_of_other_kinds_and_uses_are_left_out(key: Key) -> None:
    weak = {"kty": "RSA", "n": part(b"\xff" * 128), "e": "AQAB", "kid": "weak"}
    others = [
        weak,
        {**Key("enc").jwk, "use": "enc"},
        {**Key("ops").jwk, "key_ops": ["encrypt"]},
        {**Key("alg").jwk, "alg": "ES384"},
        {"kty": "EC", "crv": "P-384", "kid": "p384", "x": "AA", "y": "AA"},
        {"kty": "strange"},
        "no object",
    ]
    keys = read_jwk_set(json.dumps({"keys": [*others, key.jwk]}).encode())
    assert len(keys.thumbprints) == 1
    assert keys.knows("k1")
    with pytest.raises(JwkSetError, match="has no key for signatures with RS256, ES256, EdDSA"):
        read_jwk_set(json.dumps({"keys": others}).encode())


def test_a_set_with_a_secret_in_it_is_refused_without_telling_it(key: Key) -> None:
    for name in ("d", "k"):
        with pytest.raises(JwkSetError) as caught:
            read_jwk_set(json.dumps({"keys": [{**key.jwk, name: "s3cret"}]}).encode())
        assert (
            str(caught.value) == "holds a private or secret key; it must have the public ones only"
        )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not JSON"),
        (b"[]", "is no JSON Web Key Set"),
        (b'{"keys": {}}', "is no JSON Web Key Set"),
        (b'{"keys": []}', "has no key for signatures"),
        (b"[" * 5000, "is not JSON"),
        (b" " * 300_000, "is larger than"),
        (json.dumps({"keys": [{}] * 65}).encode(), "has more than 64 keys"),
    ],
)
def test_what_is_no_set_is_told_in_one_phrase(data: bytes, words: str) -> None:
    with pytest.raises(JwkSetError, match=words):
        read_jwk_set(data)


def test_two_keys_of_one_kid_are_refused() -> None:
    with pytest.raises(JwkSetError, match="two keys of the same kid"):
        read_jwk_set(jwks(Key("a"), Key("a")))
