"""No request of anybody holds a hub's loop for long."""

from __future__ import annotations

from tests.history.recorded import History, Slack


def queries_take_turns(history: History, slack: Slack) -> list[str]:
    """What callers ask for never holds a hub's loop for longer than a turn may take."""
    return [
        f"queries held the loop of {hub} for {1000 * seconds:.1f} ms"
        for hub, seconds in history.held.items()
        if seconds > slack.held_for
    ]
