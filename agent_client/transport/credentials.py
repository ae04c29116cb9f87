"""The token that a client shows to a hub: what gives it, and the Authorization header made of it.

The first of these counts, for each hub:

| what gives the token | read |
|---|---|
| `token`; an empty text stands for none at all | once |
| `token_file` | at each connection, so that the token can be replaced |
| user and password of the hub's URL; the password is the token | once |
| HOMEPORT_TOKEN | when the client is made |
| HOMEPORT_TOKEN_FILE, the name of a file | at each connection |

A token goes as `Bearer`. A password that is none, since it neither begins with `hp1_` nor is a JWT,
goes with its user as `Basic`: it may be meant for a proxy in front of the hub.

No error, log or repr repeats a token or a password.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from typing import Protocol

from agent_client.errors import BadRequest
from agent_client.transport.urls import user_and_password
from homeport_protocol.tokens import TOKEN_PREFIX, TokenError, read_token_id

TOKEN_VARIABLE = "HOMEPORT_TOKEN"  # noqa: S105 - the name of one
TOKEN_FILE_VARIABLE = "HOMEPORT_TOKEN_FILE"  # noqa: S105

_MAX_FILE_BYTES = 16_384
"""What a token's file may hold: a hub takes no header that is longer."""

_JWT = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]+", re.ASCII)

FilePath = str | os.PathLike[str]


class TokenSource(Protocol):
    """What gives the token for one hub."""

    @property
    def given_by(self) -> str:
        """Its name, for messages."""

    @property
    def replaceable(self) -> bool:
        """Whether the token may be another one at the next connection."""

    def authorization(self) -> str:
        """The header's value. Raises BadRequest, which names what gave the token."""


class Credentials:
    """Who a client is to its hubs. Raises BadRequest for a token that no hub could accept."""

    def __init__(self, token: str | None = None, token_file: FilePath | None = None) -> None:
        if token is not None and token_file is not None:
            raise BadRequest("token_file: `token` is given as well; give one", field="token_file")
        self._given: TokenSource | None = None
        self._otherwise: TokenSource | None = None
        self._from_elsewhere = token is None and token_file is None
        if token:
            self._given = _Fixed(bearer(token), "`token`")
        elif token_file is not None:
            self._given = _File(token_file, "token_file")
        elif self._from_elsewhere:
            self._otherwise = _of_the_environment()

    def of(self, url: str) -> TokenSource | None:
        """What gives the token for the hub at `url`; None when nothing does. Raises BadURL."""
        if not self._from_elsewhere:
            return self._given
        pair = user_and_password(url)
        return self._otherwise if pair is None else _Fixed(_of_url(*pair), "the hub's URL")


def bearer(token: str, given_by: str = "token") -> str:
    """The Authorization header's value.

    Raises BadRequest, which blames what the token was `given_by`, and does not repeat it.
    """
    if not isinstance(token, str):
        raise BadRequest(f"{given_by}: expected `str`, got `{type(token).__name__}`", field="token")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise BadRequest(f"{given_by}: expected visible ASCII characters only", field="token")
    if token.startswith(TOKEN_PREFIX):
        try:
            read_token_id(token)
        except TokenError as error:
            raise BadRequest(f"{given_by}: {error}", field="token") from None
    return f"Bearer {token}"


class _Fixed:
    replaceable = False

    def __init__(self, authorization: str, given_by: str) -> None:
        self._authorization = authorization
        self.given_by = given_by

    def authorization(self) -> str:
        return self._authorization


class _File:
    replaceable = True

    def __init__(self, path: FilePath, given_by: str) -> None:
        self._path = os.path.abspath(os.fspath(path))
        self.given_by = f"{given_by} {self._path}"

    def authorization(self) -> str:
        try:
            data = _read(self._path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise self._unusable(f"it cannot be read: {why}") from None
        if data is None:
            raise self._unusable("it is no regular file")
        if len(data) > _MAX_FILE_BYTES:
            raise self._unusable(f"it is larger than {_MAX_FILE_BYTES} bytes")
        token = data.decode(errors="replace").strip()
        if not token:
            raise self._unusable("it is empty")
        if len(token.split()) > 1:
            raise self._unusable("it holds more than one word; expected the token alone")
        return bearer(token, self.given_by)

    def _unusable(self, why: str) -> BadRequest:
        return BadRequest(f"{self.given_by}: {why}", field="token_file")


def _read(path: str) -> bytes | None:
    """The file's beginning; None for a directory, a pipe or a device: reading might never end."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        return os.read(file, _MAX_FILE_BYTES + 1)
    finally:
        os.close(file)


def _of_the_environment() -> TokenSource | None:
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        return _Fixed(bearer(token, TOKEN_VARIABLE), TOKEN_VARIABLE)
    path = os.environ.get(TOKEN_FILE_VARIABLE)
    return _File(path, TOKEN_FILE_VARIABLE) if path else None


def _of_url(user: str, password: str) -> str:
    if password.startswith(TOKEN_PREFIX) or _JWT.fullmatch(password):
        return bearer(password, "the password of the hub's URL")
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Basic {pair}"
