"""Whether a hub asks for tokens, and when it must not start as it is."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Literal

from hub.errors import HubError

Auth = Literal["loopback", "required", "none"]


class ExposedError(HubError):
    """The hub would be open to everybody who reaches it, or closed to everybody."""


def is_loopback(addresses: Sequence[str]) -> bool:
    """Whether no other machine reaches any of these IP addresses."""
    return all(ip_address(each.partition("%")[0]).is_loopback for each in addresses)


def asks(auth: Auth, addresses: Sequence[str], *, insecure: bool) -> bool:
    """Whether a hub with this setting that listens on these IP addresses asks for tokens.

    Raises ExposedError when it would ask nobody where others can reach it.
    """
    if auth == "none" and not is_loopback(addresses) and not insecure:
        raise ExposedError(
            f"with auth = none everybody who reaches {_shown(addresses)} may do everything: leave "
            "auth out, so that tokens are asked for; or listen on 127.0.0.1; or add --insecure if "
            "all who reach it may"
        )
    return auth == "required" or (auth == "loopback" and not is_loopback(addresses))


def nobody_can_come_in(addresses: Sequence[str], store: str | None) -> ExposedError:
    """The error for a hub that asks for tokens where there are none.

    `store` are the options that name its store for a command; None for one in memory.
    """
    make = "give it the SHA-256 of an operator's token as HOMEPORT_OPERATOR_TOKEN_SHA256"
    if store is not None:
        make = f'make one with "homeport token create --role operator {store}", or {make}'
    # On loopback only `required` asks.
    otherwise = "let auth be loopback" if is_loopback(addresses) else "listen on 127.0.0.1"
    return ExposedError(
        f"a hub that listens on {_shown(addresses)} asks for tokens, and none is good: {make}; "
        f"or {otherwise}, so that nobody is asked"
    )


def _shown(addresses: Sequence[str]) -> str:
    return ", ".join(addresses)
