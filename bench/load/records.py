"""The specs of the agents of all speed scenarios, which are of one size."""

from __future__ import annotations

from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentSpec

GROUP = 10  # agents that one filter of `group_filter` finds
METADATA_BYTES = 200
TYPES = ("performance", "application")


def bench_spec(number: int) -> AgentSpec:
    """The spec of the agent of this number: 5 capabilities, 200 bytes of metadata.

    All agents share four capabilities; the fifth is that of a group of twenty, ten of either
    type. All specs have the same length, for numbers below a million.
    """
    metadata = {"region": f"region-{number % 10}", "serial": f"{number:012}", "note": ""}
    # That is 55 bytes: {"region":"region-0","serial":"000000000000","note":""}
    metadata["note"] = "x" * (METADATA_BYTES - 55)
    return AgentSpec(
        name=_name(number),
        type=TYPES[number % 2],
        host="10.0.0.1",
        port=8000,
        capabilities=["monitoring", "analysis", "reporting", "tracing", _group(number)],
        version="1.0.0",
        metadata=metadata,
    )


def group_filter(group: int) -> Filter:
    """By type and capability: ten agents, those of `group_names`."""
    return Filter(type=TYPES[0], capabilities=[_group(2 * GROUP * group)])


def group_names(group: int) -> list[str]:
    """The names of the agents that the filter of this group finds, sorted."""
    return [_name(number) for number in range(2 * GROUP * group, 2 * GROUP * (group + 1), 2)]


def _name(number: int) -> str:
    return f"bench-{number:06}"


def _group(number: int) -> str:
    return f"group-{number // (2 * GROUP):05}"
