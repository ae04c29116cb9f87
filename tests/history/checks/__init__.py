"""The checkers: each is a function of a history and returns what is wrong, in words."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tests.history.checks.durability import acknowledged_is_kept, acknowledged_is_logged
from tests.history.checks.elsewhere import elsewhere_counts
from tests.history.checks.epochs import (
    epochs_only_rise,
    fenced_in_time,
    no_stale_write,
    older_process_changes_nothing,
)
from tests.history.checks.holding import held_in_bounds, replaced_are_not_held
from tests.history.checks.losses import losses_are_told, no_watch_goes_on_over_a_loss
from tests.history.checks.outcomes import heard_is_kept, refused_never_happens
from tests.history.checks.owners import owners_keep_their_agents
from tests.history.checks.presence import (
    every_ask_ends,
    hubs_agree,
    living_are_found,
    longest_until_found,
    removed_is_gone,
)
from tests.history.checks.readings import (
    loads_are_current,
    newest_load_is_kept,
    readings_are_no_events,
    readings_reach_watchers,
)
from tests.history.checks.rivals import exclusive_takes_nothing, takeovers_come_to_rest
from tests.history.checks.silence import (
    judged_by_what_was_told,
    nobody_unreachable_early,
    one_event_per_silence,
)
from tests.history.checks.turns import queries_take_turns
from tests.history.checks.watching import (
    drained_is_told_late,
    same_revision_same_event,
    watch_gives_the_directory,
    watch_has_no_gap,
    watch_is_ordered,
    watch_keeps_to_its_kinds,
    watch_resumes,
)
from tests.history.recorded import History, Slack

Checker = Callable[[History, Slack], list[str]]

CHECKS: tuple[Checker, ...] = (
    watch_is_ordered,
    watch_has_no_gap,
    watch_keeps_to_its_kinds,
    drained_is_told_late,
    watch_resumes,
    watch_gives_the_directory,
    same_revision_same_event,
    no_watch_goes_on_over_a_loss,
    losses_are_told,
    acknowledged_is_logged,
    acknowledged_is_kept,
    heard_is_kept,
    refused_never_happens,
    epochs_only_rise,
    no_stale_write,
    fenced_in_time,
    older_process_changes_nothing,
    takeovers_come_to_rest,
    exclusive_takes_nothing,
    owners_keep_their_agents,
    nobody_unreachable_early,
    judged_by_what_was_told,
    one_event_per_silence,
    held_in_bounds,
    replaced_are_not_held,
    every_ask_ends,
    queries_take_turns,
    living_are_found,
    removed_is_gone,
    hubs_agree,
    elsewhere_counts,
    readings_are_no_events,
    loads_are_current,
    newest_load_is_kept,
    readings_reach_watchers,
)


class Violation(Struct, frozen=True):
    """Something that must not be: which checker says so, and what."""

    checker: str
    words: str


def violations(history: History, slack: Slack | None = None) -> list[Violation]:
    """What every checker finds wrong with the history; empty when all is well."""
    slack = slack or Slack()
    return [
        Violation(checker.__name__, words)
        for checker in CHECKS
        for words in checker(history, slack)
    ]


__all__ = ["CHECKS", "Checker", "Violation", "longest_until_found", "violations"]
