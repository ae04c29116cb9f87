"""The table of failures: every error has one plain phrase, and no phrase repeats what was sent."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions

from hub.store.backends.failures import StoreUnavailableError, is_bug, reason_of

WRAPPED = (
    "Error running script (call to f_0123456789012345678901234567890123456789): "
    "@user_script:42: @user_script: 42: -{} "
)
"""How servers before version 7 report what a command inside a script was refused for."""


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (exceptions.ReadOnlyError("You can't write"), "read-only"),
        (exceptions.OutOfMemoryError("command not allowed"), "full"),
        (exceptions.BusyLoadingError("Redis is loading"), "loading"),
        (exceptions.MasterDownError("Link with MASTER is down"), "lost its primary"),
        (exceptions.NoPermissionError("this user has no permissions"), "permission"),
        (exceptions.ClusterDownError("The cluster is down"), "Cluster is down"),
        (exceptions.TryAgainError("Multiple keys"), "moving these keys"),
        (exceptions.MovedError("1 127.0.0.1:7000"), "another node"),
        (exceptions.AskError("1 127.0.0.1:7000"), "moving these keys"),
        (exceptions.ClusterCrossSlotError("Keys in request"), "does not say so"),
        (exceptions.AuthenticationError("Authentication required."), "asks for a password"),
        (exceptions.AuthenticationError("HELLO must be called with the"), "asks for a password"),
        (exceptions.AuthenticationError("AUTH <password> called without any password"), "accept"),
        (exceptions.AuthenticationError("invalid username-password pair"), "does not accept"),
        (exceptions.TimeoutError("Timeout reading"), "in time"),
        (TimeoutError(), "in time"),
        (asyncio.CancelledError(), "stopping"),
        (exceptions.ConnectionError("Error 111 connecting"), "cannot be reached"),
        (
            exceptions.ConnectionError("Error 111 connecting to h:1. Connect call failed."),
            "Redis cannot be reached: connection refused",
        ),
        (
            exceptions.ConnectionError(
                "Error Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 1) connecting to localhost:1."
            ),
            "Redis cannot be reached: connection refused",
        ),
        (
            exceptions.ConnectionError("Error 2 connecting to /x. No such file or directory."),
            "Redis cannot be reached: no such socket",
        ),
        (exceptions.ResponseError("DB index is out of range"), "no database of this number"),
        (ConnectionResetError(104, "reset"), "cannot be reached"),
        (exceptions.ConnectionError("max number of clients reached"), "no room"),
        (exceptions.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] failed"), "TLS"),
        (exceptions.ConnectionError("Error -2: Name or service not known"), "host name"),
        (
            exceptions.InvalidResponse("Protocol Error: b'HTTP/1.1 400 Bad'"),
            "answers there is no Redis",
        ),
        (exceptions.ResponseError("DENIED Redis is running in protected mode"), "protected mode"),
        (exceptions.ConnectionError("DENIED Redis is running in"), "protected mode"),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), "homeport repair"),
        (
            exceptions.NoPermissionError("this user has no permissions to run the 'xadd' command"),
            "may not run XADD: allow it with ACL SETUSER NAME +xadd",
        ),
        (
            exceptions.ResponseError(
                "ACL failure in script: User web has no permissions to run the 'xinfo|stream' "
                "command script: 0123, on @user_script:7."
            ),
            "may not run XINFO STREAM: allow it with ACL SETUSER web +xinfo|stream",
        ),
        (
            exceptions.ResponseError(
                "The user executing the script can't run this command or subcommand script: 01"
            ),
            "lacks the permission",
        ),
        (exceptions.ResponseError("Unknown Redis command called from script"), "does not know"),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), "save to its disk"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "too few replicas"),
        (exceptions.ResponseError("BUSY Redis is busy"), "busy with a script"),
        (exceptions.ResponseError(WRAPPED.format("READONLY You can't")), "read-only"),
        (exceptions.ResponseError(WRAPPED.format("OOM command not")), "full"),
        (exceptions.ResponseError(WRAPPED.format("MISCONF Redis is")), "save to its disk"),
        (exceptions.ResponseError("HOMEPORT the key x is odd"), "the key x is odd"),
        (StoreUnavailableError("Redis hides"), "Redis hides"),
        (exceptions.ResponseError("ERR something new"), "refused a command: ERR something new"),
        (KeyError("x"), "an error in the hub itself (KeyError)"),
    ],
)
def test_every_failure_has_a_plain_phrase(error: BaseException, part: str) -> None:
    reason = reason_of(error)
    assert part in reason
    assert "\n" not in reason
    assert len(reason) < 240


def test_the_key_that_a_script_names_is_all_that_is_said() -> None:
    text = "HOMEPORT the key x is odd script: 0123, on @user_script:9."
    assert reason_of(exceptions.ResponseError(text)) == "the key x is odd"


def test_a_word_that_only_looks_like_a_code_is_none() -> None:
    error = exceptions.ResponseError("ERR no such thing as OOM or READONLY here")
    assert reason_of(error).startswith("Redis refused a command")


def test_arguments_that_redis_quotes_are_not_repeated() -> None:
    text = "unknown command 'EVALSHA', with args beginning with: 's3cret' 'more' "
    assert reason_of(exceptions.ResponseError(text)) == (
        "Redis does not know EVALSHA, which a hub needs: do not disable or rename it "
        "(rename-command)"
    )


def test_only_our_own_errors_are_bugs() -> None:
    assert is_bug(KeyError("x"))
    others = [OSError(), TimeoutError(), exceptions.ResponseError("x"), asyncio.CancelledError()]
    assert not any(is_bug(error) for error in others)
