"""What a hub makes of the records that it loads."""

from __future__ import annotations

from actors.ports.observer import Observer
from actors.ports.store import Loaded
from actors.rules.stored_records import read_records
from actors.watch.history import REMOVALS, read_events
from homeport_protocol.record import AgentRecord


def read_loaded(loaded: Loaded, observer: Observer) -> list[AgentRecord]:
    """The records, each as hubs knew it last: the readable ones, as `read_records` tells.

    Where a program that is no hub has written over a record, the log tells what hubs knew; what
    that program wrote is then taken in as if it had been written a moment later.
    """
    records = read_records(loaded.records, observer)
    if all(each.revision for each in records):
        return records
    logged = {
        event.record.id: None if event.kind in REMOVALS else event.record
        for event in read_events(loaded.entries)
    }
    return [each if each.revision else logged.get(each.id) or each for each in records]
