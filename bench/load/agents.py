"""The agents of all speed scenarios: each the same size, so that figures compare."""

from __future__ import annotations

from protocol.record import AgentSpec

CAPABILITIES = 5
METADATA_BYTES = 200


def bench_spec(number: int) -> AgentSpec:
    """What the agent of this number says of itself: 5 capabilities, 200 bytes of metadata.

    One agent in ten has each of the capabilities `tenth-0` to `tenth-9`; the other four are common
    to all. The metadata is 200 bytes of JSON whatever the number.
    """
    metadata = {"region": f"region-{number % 10}", "serial": f"{number:012}", "note": ""}
    # {"region":"region-0","serial":"000000000000","note":""} is 55 bytes
    metadata["note"] = "x" * (METADATA_BYTES - 55)
    return AgentSpec(
        name=f"bench-{number}",
        type="performance",
        host="10.0.0.1",
        port=8000,
        capabilities=["monitoring", "analysis", "reporting", "tracing", f"tenth-{number % 10}"],
        version="1.0.0",
        metadata=metadata,
    )
