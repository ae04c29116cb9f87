"""The legacy service and a hub side by side: what each answers to which request.

What the legacy service answers was measured on the service itself, compiled from its source. To
measure again, or to look at another registry:

    python -m tests.e2e.legacy.table HOST:PORT

prints every row for which it answers otherwise than the table says of the legacy service.
"""

from __future__ import annotations

import sys

from tests.e2e.legacy.bodies import BODIES
from tests.e2e.legacy.fields import FIELDS
from tests.e2e.legacy.heartbeats import HEARTBEATS
from tests.e2e.legacy.observing import Row, observe
from tests.e2e.legacy.reads import READS

ROWS: list[Row] = [*FIELDS, *BODIES, *HEARTBEATS, *READS]

DIFFERENCES = {
    "fields": (
        "Records have more fields: `load`, `health`, `epoch`, `hub`, `revision`. Ignore fields "
        "that you do not know."
    ),
    "token": (
        "A registration answers a `session_token` too; a heartbeat or `unregister` without one "
        "is 409 for an agent that came over a websocket."
    ),
    "more": (
        "A registration's known `status` is taken, and so are `load`, `agent_id` and `exclusive` "
        "(400 for a wrong one); the legacy service ignored all four."
    ),
    "address": (
        "A `host` of the form `name:port` stands for both, and `port` may be 0; below 0 or "
        "above 65535 it is 400."
    ),
    "capabilities": (
        "`capabilities` is never null, and a set: empty, blank, null and repeated ones are dropped."
    ),
    "bounds": (
        "Bodies are bounded (413), and so are fields (400 names the field); `name`, `type` and "
        "`host` hold no control characters."
    ),
    "unseen": (
        "`name`, `type` and `host` are not blank, no text has invisible characters, and all are "
        "brought to [one form](protocol.md#names)."
    ),
    "text": (
        "Text that is not valid Unicode is 400, and not changed into `�`; a byte order mark is "
        "passed over."
    ),
    "behind": "Data behind the JSON object is 400, and not ignored.",
    "twice": ("Of a field that is given twice, the last one counts, whole, even if it is `null`."),
    "numbers": (
        "Numbers in metadata are kept digit by digit; the legacy service made each a float."
    ),
    "null": "`null` in `metadata` deletes the key.",
    "status": (
        "A heartbeat without `status` leaves the status as it is; an unknown status is 400."
    ),
    "times": "Timestamps are UTC with `Z` and microseconds.",
    "ids": "An id counts in upper case as well.",
    "queries": (
        "The query parameters of lists [filter](#get-agents) them, and a wrong or misspelt one "
        "is 400; the legacy service ignored them all."
    ),
    "slash": "A trailing slash is no redirect.",
    "methods": ("`HEAD` is answered wherever `GET` is; another wrong method is 405, and not 404."),
    "routes": (
        "There are more routes, and `%2F` in a type is a slash; 404s of unknown routes are JSON."
    ),
    "removal": (
        "`unreachable` agents are removed after `lease_ttl`, and `agents:active` keeps no ghosts."
    ),
    "order": "Lists are ordered by id.",
    "away": "Redis away is 503 with `Retry-After`, and never shows as a 404.",
    "address of its own": (
        "The hub listens on 127.0.0.1 unless it is told otherwise; the legacy service listened "
        "on every address."
    ),
}
"""What docs/http.md lists, word for word and in this order."""

SHOWN_ELSEWHERE = {
    "removal": "tests/e2e/test_legacy_redis_data.py::"
    "test_agents_that_are_found_have_a_heartbeat_timeout_to_come_back",
    "order": "tests/hub/http/test_discovery.py::test_pages_follow_one_another_by_cursor",
    "away": "tests/e2e/test_store_faults.py::"
    "test_while_the_store_is_away_reads_go_on_and_writes_are_refused",
    "address of its own": "tests/hub/settings/test_settings.py::"
    "test_the_defaults_are_those_of_the_contract",
}
"""Differences that no single request shows, and the test that does."""


def main(address: str) -> int:
    """Compare with a registry; the number of rows that differ."""
    differing = 0
    for row in ROWS:
        seen = observe(address, row)
        if seen != row.legacy:
            differing += 1
            print(f"{row.what} ({row.request})\n  legacy: {row.legacy}\n  here:   {seen}")
    print(f"{differing} of {len(ROWS)} rows differ")
    return differing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
