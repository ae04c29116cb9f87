"""The agent record as the contract describes it: its fields, their order and their types."""

from __future__ import annotations

import re
import uuid
from typing import Any

LEGACY_FIELDS = ["id", "name", "type", "host", "port", "capabilities", "status", "version"]
LEGACY_FIELDS += ["registered_at", "last_seen", "metadata"]
FIELDS = [*LEGACY_FIELDS, "load", "health", "epoch", "hub", "revision"]
OPTIONAL = {"metadata", "load"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SOMEONE = "550e8400-e29b-41d4-a716-446655440000"


def fields_of(message: dict[str, Any]) -> set[str]:
    return set(message) - {"_at"}


def assert_record(record: dict[str, Any]) -> None:
    """All fields, in the contract's order, each of its type."""
    names = list(record)
    assert names == [name for name in FIELDS if name in names]
    assert set(FIELDS) - set(names) <= OPTIONAL
    assert str(uuid.UUID(record["id"])) == record["id"]
    assert isinstance(record["capabilities"], list)
    assert TIME.fullmatch(record["registered_at"])
    assert TIME.fullmatch(record["last_seen"])
    assert list(record["health"]) == ["connection", "reported", "reason", "since"]
    assert TIME.fullmatch(record["health"]["since"])
    assert isinstance(record["epoch"], int)
    assert isinstance(record["revision"], int)
    assert isinstance(record["hub"], str)
