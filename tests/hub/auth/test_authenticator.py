"""What a request may show, whom that makes it, and what is said of it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from hub.auth.authenticator import Authenticators
from hub.auth.evidence import Evidence, read_evidence
from hub.auth.operator_token import OPERATOR, OperatorToken
from hub.auth.refusals import Unauthorized
from hub.net.caller import Shown
from hub.net.raw_response import failure_headers


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    ["Bearer s3cret", "bearer  s3cret ", "BEARER s3cret", basic("agent:s3cret"), basic(":s3cret")],
)
def test_a_token_is_taken_from_bearer_and_from_the_password_of_basic(authorization: str) -> None:
    assert read_evidence(Shown(authorization=authorization)).credential == "s3cret"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer  ",
        "Basic",
        "Basic !!!",
        "Basic /w==",
        basic("s3cret"),
        "Digest s3cret",
        "s3cret",
        "Bearer " + "s3cret" * 2000,
    ],
)
def test_anything_else_is_refused_and_not_repeated(authorization: str) -> None:
    with pytest.raises(Unauthorized) as refusal:
        read_evidence(Shown(authorization=authorization))
    assert "s3cret" not in refusal.value.message
    assert refusal.value.message.startswith("Authorization: ")


def test_a_password_may_have_a_colon_and_evidence_has_no_secret_in_its_repr() -> None:
    evidence = read_evidence(Shown(authorization=basic("a:b:c"), cookie="session=s3cret"))
    assert evidence.credential == "b:c"
    assert "b:c" not in repr(evidence)
    assert "s3cret" not in repr(evidence)


class Scripted:
    """Claims one credential; knows it at once, after a look-up, or not at all."""

    def __init__(self, credential: str, principal: Principal, *, known: bool = True) -> None:
        self.credential, self.principal, self.known = credential, principal, known
        self.over: str | None = None
        self.away = False

    def claims(self, evidence: Evidence) -> bool:
        return evidence.credential == self.credential

    def recognise(self, evidence: Evidence) -> Principal | None:
        return self.principal if self.known else None

    async def look_up(self, evidence: Evidence) -> Principal:
        if self.away:
            raise ProtocolError("unavailable", "the store is away")
        return self.principal

    def ended(self, principal: Principal) -> str | None:
        return self.over if principal == self.principal else None


A = Principal(id="token:a", role="agent", not_after=1000.0)
B = Principal(id="token:b", role="observer")


class Door:
    def __init__(self, *recognisers: Scripted | OperatorToken) -> None:
        self.counted: list[str] = []
        self.reported: list[tuple[str, str]] = []
        self.now = 999.0
        self.authenticator = Authenticators(
            recognisers,
            self.counted.append,
            lambda peer, refusal: self.reported.append((peer, refusal.result)),
            lambda: self.now,
        )


def bearer(text: str) -> Shown:
    return Shown(authorization=f"Bearer {text}", peer="10.0.0.9")


async def test_the_first_that_claims_a_credential_decides() -> None:
    door = Door(Scripted("x", A), Scripted("x", B), Scripted("y", B, known=False))
    assert door.authenticator.recognise(bearer("x")) == A
    assert door.authenticator.recognise(bearer("y")) is None
    assert await door.authenticator.look_up(bearer("y")) == B
    assert door.counted == ["accepted", "accepted"]


def test_nothing_and_what_nobody_claims_is_refused_counted_and_told() -> None:
    door = Door(Scripted("x", A))
    for shown, result in ((Shown(peer="10.0.0.9"), "missing"), (bearer("other"), "malformed")):
        with pytest.raises(Unauthorized) as refusal:
            door.authenticator.recognise(shown)
        assert refusal.value.result == result
    assert door.counted == ["missing", "malformed"]
    assert door.reported == [("10.0.0.9", "missing"), ("10.0.0.9", "malformed")]
    assert (b"www-authenticate", b'Bearer realm="homeport"') in [*failure_headers(refusal.value)]


async def test_one_that_has_run_out_is_refused_to_the_second() -> None:
    door = Door(Scripted("x", A), Scripted("y", A, known=False))
    assert door.authenticator.recognise(bearer("x")) == A
    assert door.authenticator.ended(A) is None
    door.now = 1000.0
    with pytest.raises(Unauthorized, match="the token has run out"):
        door.authenticator.recognise(bearer("x"))
    with pytest.raises(Unauthorized, match="the token has run out"):
        await door.authenticator.look_up(bearer("y"))
    assert door.authenticator.ended(A) == "the token has run out"
    assert door.counted == ["accepted", "expired", "expired"]


async def test_that_the_store_is_away_is_no_wrong_token() -> None:
    scripted = Scripted("x", B, known=False)
    scripted.away = True
    door = Door(scripted)
    with pytest.raises(ProtocolError) as error:
        await door.authenticator.look_up(bearer("x"))
    assert error.value.code == "unavailable"
    assert (door.counted, door.reported) == (["unavailable"], [])


def test_an_operators_token_is_known_by_its_sha_256_two_while_one_is_changed() -> None:
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in ("old", "new")]
    operator = OperatorToken(f"{digests[0].upper()},{digests[1]}")
    door = Door(operator)
    assert door.authenticator.recognise(bearer("old")) == OPERATOR
    assert door.authenticator.recognise(bearer("new")) == OPERATOR
    for wrong in ("older", digests[0]):
        with pytest.raises(Unauthorized):
            door.authenticator.recognise(bearer(wrong))
    assert operator.replace(digests[1])
    with pytest.raises(Unauthorized):
        door.authenticator.recognise(bearer("old"))
    assert door.authenticator.recognise(bearer("new")) == OPERATOR
    assert not operator.replace(",".join(digests)), "nobody has to go"
    assert operator.replace("")
    assert OPERATOR.governs_all
    assert OPERATOR.namespace == "*"
