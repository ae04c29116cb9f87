"""What the store lost: watches never go on over it, and it is told."""

from __future__ import annotations

from tests.history.recorded import History, Loss, Slack, Watch


def no_watch_goes_on_over_a_loss(history: History, slack: Slack) -> list[str]:
    """A watch that asks by a position whose change was lost begins with a snapshot."""
    return [
        f"{watch.watcher} at {watch.hub} from {watch.at:.3f}: resumed at {watch.since} of "
        f"{watch.log}, which was lost at {loss.at:.3f} after {loss.kept}"
        for watch in history.watches
        if watch.resumed
        for loss in history.losses
        if loss.unseen and _knew(watch, loss)  # hubs that saw it send a snapshot by themselves
    ]


def losses_are_told(history: History, slack: Slack) -> list[str]:
    """A loss that no hub had seen is told once a watcher proves it, and nothing else is.

    No proof is a position that is so old that the log does not reach back to it any more.
    """
    wrong = []
    for loss in history.losses:
        proofs = [
            watch
            for watch in history.watches
            if loss.unseen
            and _knew(watch, loss)
            and watch.revision - (watch.since or 0) < history.log_reach
        ]
        if not proofs or history.stored is None or history.stored.log != loss.log:
            continue  # nobody could know, or another log has begun since
        wrong.append(
            f"{proofs[0].watcher} knew {proofs[0].since} of {loss.log}, which was lost at "
            f"{loss.at:.3f} after {loss.kept}, and that log goes on"
        )
    for alarm in history.alarms:
        if not any(loss.at <= alarm.at for loss in history.losses):
            wrong.append(f"{alarm.hub} told of a loss at {alarm.at:.3f}: {alarm.words}")
    return wrong


def _knew(watch: Watch, loss: Loss) -> bool:
    """Whether the watch asked by a position that the store had lost before."""
    return (
        watch.since is not None
        and watch.known_at is not None
        and watch.known_at <= loss.at <= watch.at
        and watch.since_log == loss.log
        and (loss.kept is None or loss.kept < watch.since)
    )
