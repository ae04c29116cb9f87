"""What a replica reports to the actors of its hub, and in which order."""

from __future__ import annotations

from actors.cluster.events import (
    ChangedElsewhere,
    ChangedHere,
    ClusterEvent,
    FoundChanged,
    FoundRemoved,
    HubsChanged,
    RemovalHeld,
    RenewedElsewhere,
    StoreReopened,
    StoreReturned,
)
from actors.timing import HUB_LEASE
from tests.support.cluster_world import HEARD, Cluster, Hub
from tests.support.records import agent_id

ID = agent_id(1)


class Recorder:
    """Keeps the events of one hub, and passes them on."""

    def __init__(self, hub: Hub) -> None:
        self.events: list[ClusterEvent] = []
        self._handle = hub.supervisor.registry.handle
        hub.supervisor.registry.handle = self._record  # type: ignore[method-assign]

    def _record(self, event: ClusterEvent) -> None:
        self.events.append(event)
        self._handle(event)

    def kinds(self) -> list[type]:
        """The types of all events so far, taken away."""
        kinds = [type(event) for event in self.events]
        self.events.clear()
        return kinds


def test_a_change_is_one_event_at_its_hub_and_one_elsewhere() -> None:
    cluster = Cluster("a", "b")
    here, elsewhere = Recorder(cluster["a"]), Recorder(cluster["b"])
    cluster["a"].http_register(agent_id=ID)
    assert here.events == [ChangedHere(cluster["a"].supervisor.directory.get(ID).record)]
    assert [(event.record.id, event.removed) for event in elsewhere.events] == [(ID, False)]
    assert (here.kinds(), elsewhere.kinds()) == ([ChangedHere], [ChangedElsewhere])


def test_a_removal_is_no_event_at_its_hub_and_one_elsewhere() -> None:
    cluster = Cluster("a", "b")
    cluster["a"].http_register(agent_id=ID)
    cluster.settle()
    here, elsewhere = Recorder(cluster["a"]), Recorder(cluster["b"])
    cluster["a"].http_unregister(ID)
    assert here.events == []
    assert [(event.record.id, event.removed) for event in elsewhere.events] == [(ID, True)]


def test_a_heartbeat_is_no_event_at_its_hub_and_told_with_many_others_elsewhere() -> None:
    cluster = Cluster("a", "b")
    links = [cluster["a"].agent(f"a{number}")[0] for number in range(5)]
    cluster.advance(4)
    here, elsewhere = Recorder(cluster["a"]), Recorder(cluster["b"])
    for _ in range(3):
        for link in links:
            link.ask(op="heartbeat")
    cluster.advance(2.5)
    assert here.events == []
    renewed = [event for event in elsewhere.events if isinstance(event, RenewedElsewhere)]
    assert len(renewed) <= 2
    assert len({each.agent_id for event in renewed for each in event.renewals}) == 5


def test_an_outage_of_the_store_is_excused_first_and_written_after() -> None:
    cluster = Cluster("a")
    recorder = Recorder(cluster["a"])
    cluster.store.reachable = False
    cluster.advance(5)
    assert recorder.events == []
    cluster.store.reachable = True
    cluster.advance(2)
    assert recorder.kinds() == [StoreReopened, StoreReturned]


def test_a_hub_that_comes_or_goes_changes_owners() -> None:
    cluster = Cluster("a", "b")
    recorder = Recorder(cluster["b"])
    cluster.kill("a")
    cluster.advance(HUB_LEASE + HEARD)
    assert recorder.kinds() == [HubsChanged]
    cluster.start("a")
    cluster.advance(2)
    assert recorder.kinds() == [HubsChanged]


def test_what_a_hub_slept_through_is_found_when_the_log_does_not_tell_it() -> None:
    cluster = Cluster("a", "b")
    cluster["a"].http_register(agent_id=ID)
    stays = cluster["a"].agent("stays")[0]
    cluster.settle()
    cluster["b"].scheduler.stop()
    cluster["a"].http_unregister(ID)
    for version in "123":
        stays.ask(op="update", version=version)
    cluster.trim_log(1)
    recorder = Recorder(cluster["b"])
    cluster["b"].scheduler.go_on()
    cluster.advance(2)
    kinds = recorder.kinds()
    assert kinds.index(StoreReopened) < kinds.index(FoundChanged) < kinds.index(FoundRemoved)
    assert kinds.index(FoundRemoved) < kinds.index(StoreReturned) < kinds.index(HubsChanged)
    cluster.agree()


def test_a_mass_loss_is_one_event_when_removal_is_held_from_then_on() -> None:
    cluster = Cluster("a")
    links = [cluster["a"].agent(f"a{number}")[0] for number in range(12)]
    recorder = Recorder(cluster["a"])
    for link in links:
        link.vanish()
    cluster.advance(60)
    assert recorder.kinds().count(RemovalHeld) == 1
