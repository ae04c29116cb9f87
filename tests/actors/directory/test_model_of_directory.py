"""The directory, its indexes, pages and picks, against a naive model (hypothesis)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from msgspec import UNSET
from packaging.specifiers import SpecifierSet

from actors.directory import directory as directory_module
from actors.directory import indexes as indexes_module
from actors.directory.directory import Directory
from actors.directory.pick import Picker
from actors.runtime.turns import complete
from homeport_protocol.bounds import STATUSES, STRATEGIES
from homeport_protocol.codec import decode_record, encode
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentRecord
from tests.support.records import agent_id, record

IDS = st.integers(0, 11)
WORDS = st.sampled_from(["x", "y", "z"])
TEXTS = st.sampled_from(["v", "w"])
OTHERS = st.sampled_from([1, True, 0, False, 1.5, ["v"], {"in": "v"}, {"in": 1}])
VALUES = TEXTS | TEXTS | OTHERS
KEYS = st.sampled_from(["k", "l", "k.in", "m", "n"])
VERSIONS = st.sampled_from(["", "1.0", "1.2.3", "2.0", "unknown"])
SPECIFIERS = st.sampled_from([">=1", "<2", "==1.*", ">=1.2,<3"])


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(UNSET) | strategy


RECORDS = st.fixed_dictionaries(
    {
        "name": WORDS,
        "type": WORDS,
        "host": st.sampled_from(["", "h1", "h2"]),
        "capabilities": st.lists(WORDS, unique=True),
        "status": st.sampled_from(STATUSES),
        "version": VERSIONS,
        "metadata": optional(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)),
        "load": optional(st.sampled_from([0.0, 0.5, 2.0])),
        "connection": st.sampled_from(["websocket", "http", "lost"]),
    }
)
FILTERS = st.builds(
    Filter,
    type=optional(WORDS),
    name=optional(WORDS),
    capabilities=optional(st.lists(WORDS, max_size=2)),
    any_capability=optional(st.lists(WORDS, max_size=2)),
    status=optional(st.sampled_from(STATUSES) | st.lists(st.sampled_from(STATUSES), max_size=2)),
    host=optional(st.sampled_from(["", "h1", "h3"])),
    version=optional(SPECIFIERS),
    metadata=optional(st.dictionaries(KEYS, VALUES, max_size=4)),
)
MOST_TERMS = 13


def terms(each: AgentRecord) -> list[tuple[str, Any]]:
    """The conditions that a filter can make and that the record meets, at most MOST_TERMS."""
    found: list[tuple[str, Any]] = [
        ("type", each.type),
        ("name", each.name),
        ("host", each.host),
        ("status", each.status),
        ("status", ["unreachable", each.status]),
        ("capabilities", each.capabilities),
    ]
    if each.capabilities:
        found.append(("any_capability", [*each.capabilities[:1], "other"]))
    if each.version not in ("", "unknown"):
        found.append(("version", f"=={each.version}"))
    if each.metadata is not UNSET:
        found += [("metadata", item) for item in each.metadata.items()]
    return found


def filter_of(chosen: list[tuple[str, Any]]) -> Filter:
    """The filter of those conditions, its metadata keys in their order."""
    named = {name: value for name, value in chosen if name != "metadata"}
    metadata = dict(value for name, value in chosen if name == "metadata")
    return Filter(**named, metadata=metadata or UNSET)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: numbers by value, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def reached(metadata: Any, path: str, value: Any) -> bool:
    if metadata is UNSET:
        return False
    if path in metadata:
        return same(metadata[path], value)
    if path == "k.in":
        inner = metadata.get("k")
        return isinstance(inner, dict) and "in" in inner and same(inner["in"], value)
    return False


def holds(filter: Filter, each: AgentRecord) -> bool:
    """Section 3 of the contract, word by word and without any index."""
    if filter.type is not UNSET and each.type != filter.type:
        return False
    if filter.name is not UNSET and each.name != filter.name:
        return False
    if filter.host is not UNSET and each.host != filter.host:
        return False
    if filter.capabilities is not UNSET and not set(filter.capabilities) <= set(each.capabilities):
        return False
    if filter.any_capability is not UNSET and not (
        set(filter.any_capability) & set(each.capabilities)
    ):
        return False
    if filter.status is not UNSET:
        accepted = filter.status if isinstance(filter.status, list) else [filter.status]
        if each.status not in accepted:
            return False
    if filter.version is not UNSET and (
        each.version in ("", "unknown") or each.version not in SpecifierSet(filter.version)
    ):
        return False
    return filter.metadata is UNSET or all(
        reached(each.metadata, path, value) for path, value in filter.metadata.items()
    )


class DirectoryMachine(RuleBasedStateMachine):
    filters = Bundle("filters")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory()
        self.picker = Picker(self.directory, random.Random(1))
        self.model: dict[str, AgentRecord] = {}
        self.recently_lost: set[str] = set()
        self.rotations: dict[bytes, str] = {}
        self._long = directory_module.LONG
        self._max_indexes = indexes_module.MAX_METADATA_INDEXES
        directory_module.LONG = 2  # few agents are handled as many are
        indexes_module.MAX_METADATA_INDEXES = 3  # fewer than there are paths, or than a filter has

    def teardown(self) -> None:
        directory_module.LONG = self._long
        indexes_module.MAX_METADATA_INDEXES = self._max_indexes

    @rule(target=filters, filter=FILTERS)
    def think_of_a_filter(self, filter: Filter) -> Filter:
        return filter

    @rule(
        target=filters,
        nth=st.integers(0, 11),
        order=st.permutations(range(MOST_TERMS)),
        count=st.integers(1, MOST_TERMS),
    )
    @precondition(lambda self: self.model)
    def find_an_agent_by_what_it_is(self, nth: int, order: list[int], count: int) -> Filter:
        """A filter of some of an agent's own attributes, in any order, matches at least it."""
        each = self.model[sorted(self.model)[nth % len(self.model)]]
        possible = terms(each)
        filter = filter_of([possible[at] for at in order if at < len(possible)][:count])
        assert holds(filter, each)
        self.find_all(filter)
        return filter

    @rule(number=IDS, fields=RECORDS)
    def put(self, number: int, fields: dict[str, Any]) -> None:
        each = record(number, **fields)
        self.directory.put(each, encode(each))
        self.model[each.id] = each

    @rule(number=IDS)
    def remove(self, number: int) -> None:
        self.directory.remove(agent_id(number))
        self.model.pop(agent_id(number), None)

    @rule(number=IDS, hour=st.integers(10, 23))
    def heartbeat(self, number: int, hour: int) -> None:
        each = self.model.get(agent_id(number))
        if each is not None:
            later = decode_record(encode(each).replace(b"T00:", b"T%d:" % hour, 2))
            self.directory.refresh(later, encode(later))
            self.model[each.id] = later

    @rule(number=IDS)
    def lose_or_find(self, number: int) -> None:
        self.recently_lost ^= {agent_id(number)}

    def matching(self, filter: Filter) -> list[AgentRecord]:
        return [self.model[each] for each in sorted(self.model) if holds(filter, self.model[each])]

    @rule(filter=filters | FILTERS)
    def find_all(self, filter: Filter) -> None:
        page = complete(self.directory.find(filter, None, None))
        assert page.next_cursor is None
        assert page.agents == [encode(each) for each in self.matching(filter)]
        assert page.joined == b",".join(page.agents)

    @rule(filter=filters, limit=st.integers(1, 5))
    def find_by_pages(self, filter: Filter, limit: int) -> None:
        found: list[bytes] = []
        cursor = None
        for _ in range(20):
            page = complete(self.directory.find(filter, limit, cursor))
            assert len(page.agents) <= limit
            found += page.agents
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.agents) == limit
        assert cursor is None
        assert found == [encode(each) for each in self.matching(filter)]

    def eligible(self, filter: Filter) -> list[AgentRecord]:
        return [
            each
            for each in self.matching(filter)
            if each.health.connection != "lost"
            and each.id not in self.recently_lost
            and (filter.status is not UNSET or each.status == "healthy")
        ]

    @rule(
        filter=filters,
        strategy=st.sampled_from(STRATEGIES),
        key=WORDS,
    )
    def pick(self, filter: Filter, strategy: Any, key: str) -> None:
        eligible = self.eligible(filter)
        if not eligible:
            with pytest.raises(ProtocolError) as caught:
                complete(self.picker.pick(filter, strategy, key, self.recently_lost))
            assert caught.value.code == "no_match"
            return
        picked = complete(self.picker.pick(filter, strategy, key, self.recently_lost)).record
        assert picked in eligible
        if strategy == "least_loaded":
            loads = [float("inf") if each.load is UNSET else each.load for each in eligible]
            own = float("inf") if picked.load is UNSET else picked.load
            assert own == min(loads)
        elif strategy == "sticky":
            again = complete(self.picker.pick(filter, strategy, key, self.recently_lost)).record
            assert again == picked
        elif strategy == "round_robin":
            # The next one in the order of ids behind the one picked last for this filter.
            healthy = filter.status in (UNSET, "healthy")
            plain = {
                name: value
                for name in Filter.__struct_fields__
                if name != "status" and (value := getattr(filter, name)) is not UNSET
            }
            name = encode([plain, "healthy" if healthy else filter.status])
            last = self.rotations.get(name, "")
            behind = [each.id for each in eligible if each.id > last] + [
                each.id for each in eligible
            ]
            assert picked.id == behind[0]
            self.rotations[name] = picked.id

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.directory) == len(self.model)
        assert self.directory.ids() == sorted(self.model)
        counts: dict[str, int] = {}
        for each in self.model.values():
            counts[each.status] = counts.get(each.status, 0) + 1
        assert self.directory.status_counts() == counts


TestDirectory = DirectoryMachine.TestCase
TestDirectory.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Shrinking takes longer than a test may; add Phase.shrink here to look into a failure.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
