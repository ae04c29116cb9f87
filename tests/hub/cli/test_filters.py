"""The filter options, from the words of a command line to the filter that is sent."""

from __future__ import annotations

from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from homeport_protocol.filters import MATCH_ALL, Filter
from hub.cli.filters import filter_options, read_pairs, read_value


def parse(*arguments: str) -> tuple[int, str, Any]:
    """Exit status, stderr, and the filter as JSON, of a command that has only these options."""
    chosen: list[Filter] = []

    @click.command()
    @filter_options
    def command(filter: Filter) -> None:
        chosen.append(filter)

    result = CliRunner().invoke(command, list(arguments))
    return result.exit_code, result.stderr, msgspec.to_builtins(chosen[0]) if chosen else None


def test_without_options_every_agent_matches() -> None:
    assert parse() == (0, "", msgspec.to_builtins(MATCH_ALL))


def test_every_option_becomes_its_key_of_the_filter() -> None:
    status, _, wanted = parse(
        *("--type", "cost", "--name", "one", "--host", "10.0.0.7", "--version", ">=1.2,<2"),
        *("--capability", "sql", "--capability", "csv"),
        *("--any-capability", "a", "--any-capability", "b"),
        *("--status", "healthy", "--status", "degraded"),
        *("--meta", "region=eu", "--meta", "gpu.count=4"),
    )
    assert status == 0
    assert wanted == {
        "type": "cost",
        "name": "one",
        "capabilities": ["sql", "csv"],
        "any_capability": ["a", "b"],
        "status": ["healthy", "degraded"],
        "host": "10.0.0.7",
        "version": ">=1.2,<2",
        "metadata": {"region": "eu", "gpu.count": 4},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"4"', "4"),
        ("eu", "eu"),
        ("", ""),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("[1,2]", "[1,2]"),
        ('{"a":1}', '{"a":1}'),
        ("a=b", "a=b"),
        ("[" * 100_000, "[" * 100_000),
        ("\udcff", "\udcff"),
    ],
)
def test_a_metadata_value_is_a_json_scalar_or_else_plain_text(text: str, value: Any) -> None:
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_a_value_may_hold_further_equals_signs() -> None:
    assert read_pairs(["query=a=b"]) == {"query": "a=b"}


@pytest.mark.parametrize("pair", ["region", "=eu", ""])
def test_metadata_that_is_no_pair_is_wrong_usage(pair: str) -> None:
    status, error, wanted = parse("--meta", pair)
    assert (status, wanted) == (2, None)
    assert "KEY=VALUE" in error


def test_an_unknown_status_is_wrong_usage() -> None:
    status, error, _ = parse("--status", "fine")
    assert status == 2
    assert "'fine' is not one of" in error


@pytest.mark.parametrize("specifier", [">>1", "abc", ">=9f3c2ab", ">=1,abc"])
def test_a_version_that_is_no_specifier_is_wrong_usage(specifier: str) -> None:
    status, error, wanted = parse("--version", specifier)
    assert (status, wanted) == (2, None)
    assert "'--version'" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--capability", "x"] * 33, "at most 32 elements"),
        (["--version", ",".join([">1"] * 9)], "version: more than 8 clauses"),
        (["--meta", "x" * 257 + "=v"], "metadata: a path of more than 256 bytes"),
        ([part for n in range(33) for part in ("--meta", f"k{n}=v")], "more than 32 terms in all"),
    ],
)
def test_a_filter_beyond_its_bounds_is_wrong_usage(arguments: list[str], words: str) -> None:
    status, error, wanted = parse(*arguments)
    assert (status, wanted) == (2, None)
    assert words in " ".join(error.split())
