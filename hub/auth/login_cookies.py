"""Recognising browsers by the cookie that they got for a token, which never carries the token.

    PERIOD.PAYLOAD.MAC

The payload names the principal, and each request asks again whether that may still go on. The MAC's
key belongs to the cluster, is made anew in each period of 12 hours, and is forgotten after two: no
cookie is valid for longer, and an old copy of the store signs none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct, structs

from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from hub.auth.evidence import Evidence
from hub.auth.jwt_verification import JwtPrincipal
from hub.auth.jwts import Jwts
from hub.auth.operator_token import OPERATOR
from hub.auth.refusals import Unauthorized
from hub.auth.token_store import TOKEN_SUBJECT, TokenStore
from hub.auth.tokens import Tokens
from hub.store import StoreError

LIFETIME = 12 * 3600
"""Seconds that a cookie is valid, and a period of keys."""

MAX_VALUE = 3500
"""Characters of a cookie's value: browsers keep 4,096 of name, value and attributes."""

PLAIN_NAME = "homeport"
SECURE_NAME = "__Host-homeport"
"""Browsers take this name with TLS alone, and from no page of a sibling domain."""

INVALID = "the login is not valid any more: log in again"


class _Payload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a cookie is for. `jwt` has the facts of a JWT; a token's are asked for.

    `mark` tells an operator's token that is in no store from those given later.
    """

    id: str
    until: float
    jwt: JwtPrincipal | None = None
    mark: str = ""


class Login(Struct, frozen=True):
    """Whom a browser acts for from now on, and the value of `Set-Cookie` that says so."""

    principal: Principal
    cookie: str

    def __repr__(self) -> str:
        return f"Login({self.principal!r}, …)"


class LoginCookies:
    """A recogniser: the principals of those who logged in with a token or a JWT.

    `tls` when the hub speaks TLS only. Otherwise a proxy may add it, and a login says so.
    """

    def __init__(
        self,
        store: TokenStore,
        tokens: Tokens,
        operator_digests: Sequence[bytes],
        jwts: Jwts | None,
        *,
        tls: bool,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._operator_digests = operator_digests
        self._jwts = jwts
        self._tls = tls
        self._wall = wall
        self._keys: dict[int, bytes] = {}
        self._names = (SECURE_NAME,) if tls else (SECURE_NAME, PLAIN_NAME)

    # --- log in and out --------------------------------------------------------------------------

    async def log_in(self, principal: Principal, token: str, *, secure: bool) -> Login:
        """A cookie for a principal that was recognised by this token.

        `secure` when the browser sees a page with TLS, whether or not the hub speaks it.

        Raises ProtocolError: `bad_request` for one that does not fit into a cookie, `unavailable`
        when the store cannot be asked for the key.
        """
        now = self._wall()
        until = min(now + LIFETIME, principal.not_after or now + LIFETIME)
        period = self._period(now)
        key = await self._fetch(period)
        if key is None:
            raise ProtocolError("unavailable", "the login could not be signed; try again")
        payload = _Payload(
            id=principal.id,
            until=until,
            jwt=principal if isinstance(principal, JwtPrincipal) else None,
            mark=_mark(key, _digest(token)) if principal.id == OPERATOR.id else "",
        )
        body = f"{period}.{_encode(msgspec.json.encode(payload))}"
        value = f"{body}.{_mac(key, body)}"
        if len(value) > MAX_VALUE:
            raise ProtocolError("bad_request", "token: its names are too many for a cookie")
        name = SECURE_NAME if secure or self._tls else PLAIN_NAME
        return Login(_until(principal, until), _set_cookie(name, value, int(until - now)))

    def log_out(self) -> list[str]:
        """The values of `Set-Cookie` that have a browser forget the cookie."""
        return [_set_cookie(name, "", 0) for name in self._names]

    # --- hub.auth.recogniser.Recogniser ----------------------------------------------------------

    def claims(self, evidence: Evidence) -> bool:
        """See `Recogniser.claims`: a token in `Authorization` counts before the cookie."""
        return evidence.credential is None and self._value(evidence) is not None

    def recognise(self, evidence: Evidence) -> Principal | None:
        """See `Recogniser.recognise`: None when the store has to be asked."""
        period, body, mac = self._parts(evidence)
        key = self._keys.get(period)
        if key is None:
            return None
        payload = self._verified(key, body, mac)
        if _is_stored(payload):
            principal = self._tokens.principal_of(payload.id)
            return None if principal is None else _until(principal, payload.until)
        return self._known_here(payload, key)

    async def look_up(self, evidence: Evidence) -> Principal:
        """See `Recogniser.look_up`."""
        period, body, mac = self._parts(evidence)
        key = self._keys.get(period) or await self._fetch(period)
        if key is None:
            raise Unauthorized("expired", INVALID)
        payload = self._verified(key, body, mac)
        if _is_stored(payload):
            return _until(await self._tokens.look_up_id(payload.id), payload.until)
        return self._known_here(payload, key)

    def ended(self, principal: Principal) -> str | None:
        """See `Recogniser.ended`: those who recognised the token tell it."""
        return None

    # --- internals -------------------------------------------------------------------------------

    def _value(self, evidence: Evidence) -> str | None:
        """The cookie's value; "" for two, of which a page of a sibling domain may have set one."""
        if evidence.cookie is None or PLAIN_NAME not in evidence.cookie:
            return None
        # By hand: other programs of the host may set cookies that the library gives up at.
        pairs = [each.strip().partition("=") for each in evidence.cookie.split(";")]
        for wanted in self._names:
            values = [value for name, _, value in pairs if name == wanted and value]
            if values:
                return values[0] if len(values) == 1 else ""
        return None

    def _parts(self, evidence: Evidence) -> tuple[int, str, str]:
        """The period, what is signed, and the MAC of a cookie. Raises Unauthorized."""
        body, _, mac = (self._value(evidence) or "").rpartition(".")
        period = body.partition(".")[0]
        if not (period.isascii() and period.isdecimal()) or len(period) > 9:
            raise Unauthorized("malformed", INVALID)
        now = self._period(self._wall())
        if not now - 1 <= int(period) <= now + 1:
            raise Unauthorized("expired", INVALID)
        return int(period), body, mac

    def _verified(self, key: bytes, body: str, mac: str) -> _Payload:
        if not hmac.compare_digest(_mac(key, body).encode(), mac.encode()):
            raise Unauthorized("unknown", INVALID)
        try:
            data = urlsafe_b64decode(body.partition(".")[2] + "===")
            payload = msgspec.json.decode(data, type=_Payload)
        except (Base64Error, ValueError, msgspec.MsgspecError):
            raise Unauthorized("malformed", INVALID) from None
        if payload.until <= self._wall():
            raise Unauthorized("expired", INVALID, payload.id)
        return payload

    def _known_here(self, payload: _Payload, key: bytes) -> Principal:
        """The principal of a cookie for a token that is in no store. Raises Unauthorized."""
        if payload.id == OPERATOR.id:
            marks = [_mark(key, digest) for digest in self._operator_digests]
            if sum(hmac.compare_digest(mark, payload.mark) for mark in marks):
                return _until(OPERATOR, payload.until)
        elif (
            payload.jwt is not None and self._jwts is not None and not self._jwts.ended(payload.jwt)
        ):
            return _until(payload.jwt, payload.until)
        raise Unauthorized("revoked", INVALID, payload.id)

    def _period(self, now: float) -> int:
        return int(now // LIFETIME)

    async def _fetch(self, period: int) -> bytes | None:
        """The key of a period, which is remembered. Raises ProtocolError `unavailable`."""
        present = self._period(self._wall())
        try:
            key = await self._store.cookie_key(present, secrets.token_bytes(32), period)
        except StoreError:
            raise ProtocolError(
                "unavailable", "the login cannot be checked now: the store is away"
            ) from None
        if key is not None:
            self._keys = {each: held for each, held in self._keys.items() if each >= present - 1}
            self._keys[period] = key
        return key


def _set_cookie(name: str, value: str, seconds: int) -> str:
    secure = "; Secure" if name == SECURE_NAME else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _is_stored(payload: _Payload) -> bool:
    return payload.id.startswith(TOKEN_SUBJECT) and payload.id != OPERATOR.id


def _until(principal: Principal, until: float) -> Principal:
    """The principal until its login ends, which is no later than its token does."""
    return structs.replace(principal, not_after=min(until, principal.not_after or until))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _mark(key: bytes, digest: bytes) -> str:
    return hmac.new(key, b"operator" + digest, hashlib.sha256).hexdigest()


def _mac(key: bytes, body: str) -> str:
    return _encode(hmac.new(key, b"login." + body.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
