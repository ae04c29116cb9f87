"""The actor runtime: mailboxes, turns, the time budget, supervision."""

from __future__ import annotations

from actors.runtime.dispatch import BUDGET, MAX_RESTARTS, RESTART_PERIOD, TURN, Ref, Runtime
from tests.actors.runtime.loop import Loop


class Scribe:
    """Writes down what it is told; a message that can be called is called."""

    def __init__(self, name: str, pages: list[tuple[str, object]]) -> None:
        self.name = name
        self.pages = pages
        self.restarts: list[object] = []
        self.given_up = 0

    def receive(self, message: object) -> None:
        self.pages.append((self.name, message))
        if callable(message):
            message()

    def restarted(self, message: object) -> None:
        self.restarts.append(message)

    def isolated(self, messages: object) -> None:
        self.given_up += 1


class Stage:
    def __init__(self) -> None:
        self.loop = Loop()
        self.reports: list[tuple[str, object, str]] = []
        self.runtime = Runtime(self.loop, self._report)
        self.pages: list[tuple[str, object]] = []

    def _report(self, name: str, message: object, error: BaseException) -> None:
        self.reports.append((name, message, str(error)))

    def spawn(self, name: str) -> tuple[Ref[object], Scribe]:
        actor = Scribe(name, self.pages)
        return self.runtime.spawn(actor, name), actor

    def messages(self, name: str) -> list[object]:
        return [message for who, message in self.pages if who == name]


def fail() -> None:
    raise ValueError("broken")


def test_messages_are_handled_in_the_order_they_were_sent() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    for number in range(3 * TURN + 1):
        assert ref.tell(number)
    assert stage.pages == [], "nothing runs inside tell"
    stage.loop.run()
    assert stage.messages("a") == list(range(3 * TURN + 1))
    assert ref.waiting == 0
    assert stage.runtime.backlog == 0


def test_an_idle_runtime_schedules_nothing() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    ref.tell(1)
    stage.loop.run()
    assert not stage.loop.callbacks
    ref.tell(2)
    assert len(stage.loop.callbacks) == 1
    ref.tell(3)
    assert len(stage.loop.callbacks) == 1, "one callback for all ready actors"
    stage.loop.run()
    assert stage.messages("a") == [1, 2, 3]


def test_a_flooded_actor_does_not_starve_the_others() -> None:
    stage = Stage()
    flooded, _ = stage.spawn("flooded")
    other, _ = stage.spawn("other")
    for number in range(100 * TURN):
        flooded.tell(number)
    other.tell("hello")
    stage.loop.run()
    assert stage.pages.index(("other", "hello")) == TURN
    assert len(stage.messages("flooded")) == 100 * TURN


def test_an_actor_that_keeps_telling_itself_lets_the_others_run() -> None:
    stage = Stage()
    selfish, _ = stage.spawn("selfish")
    other, _ = stage.spawn("other")
    left = 5 * TURN

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            selfish.tell(again)

    selfish.tell(again)
    other.tell("hello")
    stage.loop.run()
    assert len(stage.messages("selfish")) == 5 * TURN
    # What it tells itself comes behind the other's turn.
    assert stage.pages.index(("other", "hello")) == 1


def test_a_message_to_oneself_comes_behind_what_already_waits() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    ref.tell(lambda: ref.tell("self"))
    ref.tell("before")
    stage.loop.run()
    assert stage.messages("a")[1:] == ["before", "self"]


def test_the_event_loop_goes_on_when_the_budget_is_used_up() -> None:
    stage = Stage()
    seen: list[str] = []

    def slow() -> None:
        seen.append("message")
        stage.loop.time += BUDGET * 0.6

    for number in range(6):
        ref, _ = stage.spawn(f"a{number}")
        ref.tell(slow)
    stage.loop.call_soon(lambda: seen.append("loop"))
    stage.loop.turn()
    assert seen == ["message", "message", "loop"]
    stage.loop.run()
    assert seen.count("message") == 6


def test_what_raises_is_reported_with_its_message_and_restarted() -> None:
    stage = Stage()
    ref, actor = stage.spawn("a")
    ref.tell(1)
    ref.tell(fail)
    ref.tell(2)
    stage.loop.run()
    assert stage.reports == [("a", fail, "broken")]
    assert actor.restarts == [fail]
    assert stage.messages("a") == [1, fail, 2], "it lives on with the next message"
    assert ref.alive


def test_an_actor_that_keeps_failing_is_isolated_and_its_neighbours_never_notice() -> None:
    stage = Stage()
    ref, actor = stage.spawn("a")
    neighbour, other = stage.spawn("b")
    for _ in range(MAX_RESTARTS + 1):
        ref.tell(fail)
    ref.tell("never")
    for number in range(2 * TURN):
        neighbour.tell(number)
    stage.loop.run()
    assert actor.restarts == [fail] * MAX_RESTARTS
    assert actor.given_up == 1
    assert len(stage.reports) == MAX_RESTARTS + 1
    assert "never" not in stage.messages("a")
    assert not ref.alive
    assert ref.tell("anything") is False
    assert ref.waiting == 0
    assert stage.messages("b") == list(range(2 * TURN))
    assert other.given_up == 0
    assert other.restarts == []


def test_failures_far_apart_isolate_no_actor() -> None:
    stage = Stage()
    ref, actor = stage.spawn("a")
    for _ in range(10 * MAX_RESTARTS):
        ref.tell(fail)
        stage.loop.run()
        stage.loop.time += RESTART_PERIOD / MAX_RESTARTS + 0.01
    assert actor.given_up == 0
    assert len(actor.restarts) == 10 * MAX_RESTARTS


def test_an_actor_that_cannot_even_restart_is_stopped_and_both_are_reported() -> None:
    stage = Stage()
    ref, actor = stage.spawn("a")
    neighbour, _ = stage.spawn("b")

    def cannot(message: object) -> None:
        raise RuntimeError("nor restart")

    actor.restarted = cannot  # type: ignore[method-assign]
    ref.tell(fail)
    ref.tell("never")
    neighbour.tell("hello")
    stage.loop.run()
    assert [words for _, _, words in stage.reports] == ["broken", "nor restart"]
    assert ref.tell("anything") is False
    assert stage.pages == [("a", fail), ("b", "hello")]


def test_telling_a_stopped_actor_is_false_and_what_waited_is_dropped() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    ref.tell("waiting")
    ref.stop()
    assert ref.tell("late") is False
    stage.loop.run()
    assert stage.pages == []
    assert stage.runtime.backlog == 0


def test_an_actor_may_stop_itself_in_the_middle_of_its_turn() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    ref.tell(ref.stop)
    ref.tell("never")
    stage.loop.run()
    assert stage.messages("a") == [ref.stop]
    assert not stage.loop.callbacks


def test_an_actor_may_stop_a_neighbour_that_is_ready() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    neighbour, _ = stage.spawn("b")
    ref.tell(neighbour.stop)
    neighbour.tell("never")
    stage.loop.run()
    assert stage.messages("b") == []
    assert neighbour.tell("late") is False


def test_what_is_delivered_to_an_idle_actor_is_handled_at_once() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    assert ref.deliver(1)
    assert stage.messages("a") == [1]
    assert not stage.loop.callbacks
    assert stage.runtime.backlog == 0


def test_what_is_delivered_comes_behind_what_waits_in_the_mailbox() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    other, _ = stage.spawn("b")
    ref.tell(1)
    ref.deliver(2)
    other.deliver("at once")
    ref.tell(3)
    assert stage.pages == [("b", "at once")]
    stage.loop.run()
    assert stage.messages("a") == [1, 2, 3]


def test_what_is_delivered_by_an_actor_at_work_waits_until_it_has_done() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")
    other, _ = stage.spawn("b")
    seen: list[int] = []

    def work() -> None:
        assert ref.deliver("to itself")
        assert other.deliver("to another")
        seen.append(len(stage.pages))

    ref.deliver(work)
    ref.tell(work)
    assert seen == [1], "no actor was entered meanwhile"
    stage.loop.run()
    assert stage.messages("a") == [work, "to itself", work, "to itself"]
    assert stage.messages("b") == ["to another"] * 2
    assert seen == [1, 3]


def test_what_is_delivered_and_raises_is_reported_and_may_isolate() -> None:
    stage = Stage()
    ref, actor = stage.spawn("a")
    other, _ = stage.spawn("b")
    assert ref.deliver(fail)
    assert stage.reports == [("a", fail, "broken")]
    assert actor.restarts == [fail]
    assert other.deliver("as usual")
    assert stage.messages("b") == ["as usual"], "no actor is taken to be still at work"
    for _ in range(MAX_RESTARTS):
        ref.deliver(fail)
    assert actor.given_up == 1
    assert ref.deliver("anything") is False


def test_an_actor_that_ends_itself_handles_nothing_more_that_is_delivered() -> None:
    stage = Stage()
    ref, _ = stage.spawn("a")

    def end() -> None:
        ref.deliver("lost")
        assert ref.stop() == ["lost"]

    ref.deliver(end)
    stage.loop.run()
    assert stage.messages("a") == [end]
    assert ref.deliver("more") is False
