"""The exceptions: one for each error code, and what a close code means."""

from __future__ import annotations

import pickle

import pytest

from agent_client import ConnectionLost, HomeportError
from agent_client.errors import BY_CODE, LONGEST_HINT, closed, refused
from homeport_protocol.errors import ERROR_CODES, FAILURES


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
    assert LONGEST_HINT == 30.0
    assert refused("unavailable", "why", retry_after=3600.0).retry_after == 30.0
    assert refused("unavailable", "why", retry_after=-1.0).retry_after == 0.0
    assert closed(1001, "retry in soon s").retry_after is None
    assert closed(None, "").retryable


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(refused("bad_request", "why", field="agent.name")))
    assert isinstance(error, HomeportError)
    assert (error.field, error.code, str(error)) == ("agent.name", "bad_request", "why")
