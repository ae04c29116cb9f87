"""The package as a whole: its names, its weight, its errors, its URLs, its patience."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import agent_client
from agent_client import Backoff, BadURL, ConnectionLost, HomeportError
from agent_client.errors import BY_CODE, LONGEST_HINT, closed, refused
from agent_client.transport.urls import hub_urls, is_loopback, websocket_url, without_secrets
from homeport_protocol.errors import ERROR_CODES, FAILURES


def test_the_exported_names_are_these() -> None:
    assert sorted(agent_client.__all__) == [
        "AgentClient",
        "AgentRecord",
        "AgentRegistration",
        "AlreadyRegistered",
        "Backoff",
        "BadRequest",
        "BadURL",
        "CannotConnect",
        "Conflict",
        "ConnectionLost",
        "Event",
        "Fenced",
        "Filter",
        "Forbidden",
        "Health",
        "HeartbeatAck",
        "HomeportError",
        "HubClient",
        "HubStatus",
        "Hubs",
        "Internal",
        "Lease",
        "LossAcknowledged",
        "NoMatch",
        "NotFound",
        "NotRegistered",
        "RateLimited",
        "Resync",
        "Snapshot",
        "Timeout",
        "TooLarge",
        "Unauthorized",
        "Unavailable",
        "UnknownOp",
        "Updated",
        "Watch",
        "WatchItem",
    ]
    for name in agent_client.__all__:
        assert hasattr(agent_client, name)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ["redis", "starlette", "uvicorn", "structlog", "click", "rich", "requests", "hub"]
    code = f"import agent_client, sys; print([n for n in {heavy} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_error_code_of_the_contract_has_its_exception(code: str) -> None:
    error = refused(code, "why")
    assert type(error) is BY_CODE[code]  # type: ignore[index]
    assert error.code == code
    assert error.retryable is FAILURES[code].retryable  # type: ignore[index]
    assert (str(error), error.message) == ("why", "why")


def test_an_unknown_close_code_is_a_lost_connection_and_hints_are_bounded() -> None:
    error = closed(4999, "retry in 1000000 s")
    assert isinstance(error, ConnectionLost)
    assert error.close_code == 4999
    assert error.retry_after == LONGEST_HINT
    assert closed(1001, "retry in soon s").retry_after is None
    assert closed(None, "").retryable


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(refused("bad_request", "why", field="agent.name")))
    assert isinstance(error, HomeportError)
    assert (error.field, error.code, str(error)) == ("agent.name", "bad_request", "why")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://hub:8080", "ws://hub:8080/ws"),
        ("http://hub:8080/", "ws://hub:8080/ws"),
        ("HTTPS://hub", "wss://hub/ws"),
        ("ws://hub/ws", "ws://hub/ws"),
        ("wss://hub/ws/", "wss://hub/ws"),
        ("https://proxy/homeport", "wss://proxy/homeport/ws"),
        ("http://[::1]:8080?namespace=blue", "ws://[::1]:8080/ws?namespace=blue"),
    ],
)
def test_every_form_of_a_url_leads_to_the_websocket(given: str, expected: str) -> None:
    assert websocket_url(given) == expected


def test_the_environment_may_name_several_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_urls(None) == ["ws://127.0.0.1:8080/ws"]
    monkeypatch.setenv("HOMEPORT_URL", "http://a:1, http://b:2 ,http://a:1/ws")
    assert hub_urls(None) == ["ws://a:1/ws", "ws://b:2/ws"]
    monkeypatch.setenv("HOMEPORT_URL", " ")
    assert hub_urls(None) == ["ws://127.0.0.1:8080/ws"]


def test_a_malformed_url_is_refused_without_repeating_its_password() -> None:
    for url in ("http://user:password@hub:0", "http://user:password@:80", "x://user:password@h"):
        with pytest.raises(BadURL) as caught:
            websocket_url(url)
        assert "password" not in str(caught.value)
    assert without_secrets("ws://u:p@h:1/ws?token=t") == "ws://h:1/ws"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("ws://localhost:1/ws", True),
        ("ws://hub.localhost/ws", True),
        ("ws://127.8.0.1/ws", True),
        ("ws://[::1]:8080/ws", True),
        ("ws://10.0.0.1/ws", False),
        ("wss://hub.example/ws", False),
    ],
)
def test_no_proxy_is_used_on_this_machine(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_back_off_is_full_jitter_below_a_doubling_bound() -> None:
    for chance in (0.0, 0.25, 0.999):
        backoff = Backoff(base=1.0, cap=8.0, chance=lambda c=chance: c)  # type: ignore[misc]
        assert [backoff.next() for _ in range(5)] == [b * chance for b in (1, 2, 4, 8, 8)]
        assert backoff.next(hint=5.0) == 5.0 + 8 * chance
        backoff.reset()
        assert backoff.next() == chance
    patient = Backoff(chance=lambda: 1.0)
    assert [patient.next() for _ in range(5000)][-1] == 30.0
