"""The attacks there are: how many connections, and what bounds the memory that they can take."""

from __future__ import annotations

from msgspec import Struct

SMALL_MIB = 100
"""Growth of a hub that is allowed to an attack which ought to take no memory worth speaking of."""


class Kind(Struct, frozen=True, kw_only=True):
    """One attack. The hub has the default settings, but for `max_open_files`, where it is given.

    `bounded_by` are the settings that bound its memory; they are worth `hub_mib` of the hub and
    `store_mib` of the store beside what the bench's options give to the change log (`logs`) and to
    bytes that nobody reads (`unread`). `records` agents are registered before.
    """

    name: str
    title: str
    connections: int
    bounded_by: str
    hub_mib: int = SMALL_MIB
    store_mib: int = 20
    logs: bool = False
    unread: bool = False
    records: int = 0
    max_open_files: int = 0


KINDS = (
    Kind(
        name="half-open",
        title="5,000 websocket handshakes that are begun and never ended",
        connections=5000,
        bounded_by="max_handshakes, handshake_timeout",
    ),
    Kind(
        name="slow-heads",
        title="2,000 heads of HTTP requests that are trickled",
        connections=2000,
        bounded_by="max_handshakes, request_timeout",
    ),
    Kind(
        name="slow-bodies",
        title="2,000 bodies of registrations that are trickled",
        connections=2000,
        bounded_by="max_body_bytes, request_timeout",
    ),
    Kind(
        name="ping-flood",
        title="20 connections that send pings as fast as they can, or just below max_rate",
        connections=20,
        bounded_by="max_rate, max_unsent_bytes",
    ),
    Kind(
        name="fragments",
        title="20 connections that send one message in empty and tiny fragments for ever",
        connections=20,
        bounded_by="max_rate, max_frame_bytes",
    ),
    Kind(
        name="churn",
        title="20 connections that register agents and unregister them",
        connections=20,
        bounded_by="max_log_bytes, max_agents",
        logs=True,
    ),
    Kind(
        name="made-up-namespaces",
        title="2,000 connections that make namespaces up",
        connections=2000,
        bounded_by="max_namespaces, open_namespaces",
        hub_mib=250,
        store_mib=50,
    ),
    Kind(
        name="metadata",
        title="10 agents that replace metadata at their bound again and again",
        connections=10,
        bounded_by="max_log_bytes",
        logs=True,
    ),
    Kind(
        name="unread-watches",
        title="1,000 watchers that never read, beside 10 agents that change much",
        connections=1000,
        bounded_by="max_total_unsent_bytes, max_log_bytes",
        logs=True,
        unread=True,
    ),
    Kind(
        name="dear-finds",
        title="20 connections that ask for 10,000 records again and again; some never read",
        connections=20,
        records=10_000,
        bounded_by="max_unsent_bytes, max_total_unsent_bytes",
        hub_mib=250,
    ),
    Kind(
        name="open-files",
        title="1,000 connections to a hub that may open 256 files",
        connections=1000,
        bounded_by="max_connections (of the open files)",
        max_open_files=256,
    ),
    Kind(
        name="garbage",
        title="20 connections that send garbage, and come back at once",
        connections=20,
        bounded_by="max_frame_bytes, max_body_bytes",
    ),
)
