"""The contract in machine-readable form: JSON Schemas, OpenAPI and AsyncAPI, made from the types.

`python -m homeport_protocol.schemas [DIRECTORY]` writes the committed copies (default: `docs`); a
test fails when they are not what the types say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from homeport_protocol.asyncapi import asyncapi
from homeport_protocol.components import json_schemas
from homeport_protocol.openapi import openapi

__all__ = ["asyncapi", "documents", "json_schemas", "openapi"]


def documents() -> dict[str, bytes]:
    """Every generated document by its path below `docs/`, as indented JSON."""
    trees: dict[str, Any] = {"openapi.json": openapi(), "asyncapi.json": asyncapi()}
    for name, schema in json_schemas().items():
        trees[f"schemas/{name}.json"] = schema
    return {
        path: msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"
        for path, tree in trees.items()
    }


def main(arguments: list[str]) -> None:
    """Write every document below the directory that the arguments name."""
    directory = Path(arguments[0] if arguments else "docs")
    for path, content in documents().items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
