"""What a worker and the process that started it say to each other, a line of JSON each."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hub.telemetry.figures import Family

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a line at most: the figures of a thousand namespaces are some 5 MB."""


class Report(Struct, frozen=True, tag="report"):
    """A worker listens, or why it failed; after a final failure it is not started again.

    `status` is what a hub that failed so would exit with.
    """

    failure: str | None
    final: bool = False
    status: int = 1


class Figures(Struct, frozen=True, tag="figures"):
    """A worker's metrics as they are now."""

    families: list[Family]


class MetricsWanted(Struct, frozen=True, tag="metrics_wanted"):
    """A worker was asked for the metrics of all workers; `id` is its number for that."""

    id: int


class CountNow(Struct, frozen=True, tag="count_now"):
    """The worker is to send its figures."""


class Metrics(Struct, frozen=True, tag="metrics"):
    """The metrics of all workers, as text, for the worker that wanted them."""

    id: int
    text: str


FromWorker = Report | Figures | MetricsWanted
ToWorker = CountNow | Metrics

_from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)
_to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)


def line_of(message: FromWorker | ToWorker) -> bytes:
    """The message as a line."""
    return msgspec.json.encode(message) + b"\n"


def from_worker(line: bytes) -> FromWorker:
    """A worker's message; raises msgspec.MsgspecError for anything else."""
    return _from_worker.decode(line)


def to_worker(line: bytes) -> ToWorker:
    """A message to a worker; raises msgspec.MsgspecError for anything else."""
    return _to_worker.decode(line)
