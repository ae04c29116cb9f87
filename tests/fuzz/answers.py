"""Whether what a hub says is what its own documents promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.fuzz.target import Found

_DOCS = Path(__file__).parents[2] / "docs"
_schema = json.loads((_DOCS / "schemas" / "message.json").read_text())
_VALIDATORS = {
    op: Draft202012Validator({"$ref": ref, "$defs": _schema["$defs"]})
    for op, ref in _schema["discriminator"]["mapping"].items()
}
_operations = json.loads((_DOCS / "asyncapi.json").read_text())["operations"]
_OPS = {ref.rpartition("/")[2]: op for op, ref in _schema["discriminator"]["mapping"].items()}
REPLIES: dict[str, set[str]] = {
    op: {_OPS[message["$ref"].rpartition("/")[2]] for message in operation["reply"]["messages"]}
    for op, operation in _operations.items()
    if operation["action"] == "receive"
}
"""For each request, the ops that may answer it."""


def check_message(message: Any) -> None:
    """One message of a hub is one of the contract's; raises Found."""
    op = message.get("op") if isinstance(message, dict) else None
    if op not in _VALIDATORS:
        raise Found(f"no message of the contract: {message!r:.500}")
    # Validators are slow, and most answers are one of two small ones.
    wrong = next(iter(_VALIDATORS[op].iter_errors(message)), None)
    if wrong is not None:
        raise Found(f"{wrong.message} at {wrong.json_path} of {message!r:.500}")
    if op == "error" and (len(message["message"]) > 1000 or "Traceback" in message["message"]):
        raise Found(f"words that are none for a user: {message['message']!r:.500}")


def check_answer(request: Any, answer: dict[str, Any]) -> None:
    """The answer is one that the request of this op may get; raises Found."""
    if not isinstance(request, str) or request not in REPLIES:
        if answer["op"] != "error":
            raise Found(f"{answer['op']} for what is no request")
    elif answer["op"] not in REPLIES[request] | {"error"}:
        raise Found(f"{answer['op']} for {request}")
