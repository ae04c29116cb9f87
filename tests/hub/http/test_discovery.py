"""GET /agents, /agents/{id}, /agents/type/{type} and /agents/pick."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from tests.hub.http.conftest import Ask
from tests.hub.http.fakes import FakeHub


async def test_all_agents_are_listed_with_their_count_in_the_bytes_they_are_kept_as(
    hub: FakeHub, ask: Ask
) -> None:
    records = [msgspec.json.encode(hub.default.add(number)) for number in (1, 2)]
    answer = await ask("GET", "/agents")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{"agents":[%s,%s],"count":2}' % tuple(records)
    assert hub.default.asked == [("find", Filter(), None, None)]


async def test_no_agents_are_an_empty_list(ask: Ask) -> None:
    answer = await ask("GET", "/agents")
    assert answer.body == b'{"agents":[],"count":0}'


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=cost", Filter(type="cost")),
        ("name=a%20b", Filter(name="a b")),
        ("capability=x&capability=y,z", Filter(capabilities=["x", "y,z"])),
        ("any_capability=x&any_capability=y", Filter(any_capability=["x", "y"])),
        ("status=healthy", Filter(status=["healthy"])),
        ("status=healthy,degraded", Filter(status=["healthy", "degraded"])),
        ("status=healthy&status=unhealthy", Filter(status=["healthy", "unhealthy"])),
        ("host=h", Filter(host="h")),
        ("version=%3E%3D1.2,%3C2", Filter(version=">=1.2,<2")),
        ("meta.zone=eu", Filter(metadata={"zone": "eu"})),
        ("meta.gpu.count=many&meta.x=", Filter(metadata={"gpu.count": "many", "x": ""})),
        ('meta.q="3"', Filter(metadata={"q": '"3"'})),
        ("meta.q=null", Filter(metadata={"q": "null"})),
        ("namespace=default", Filter()),
        ("type=cost&status=healthy", Filter(type="cost", status=["healthy"])),
    ],
)
async def test_each_parameter_becomes_its_key_of_the_filter(
    hub: FakeHub, ask: Ask, query: str, expected: Filter
) -> None:
    assert (await ask("GET", f"/agents?{query}")).status == 200
    assert [asked[1] for asked in hub.default.asked] == [expected]


# What browsers, proxies, caches, trackers and habits put into a query string.
# fmt: off
WHAT_OTHERS_ADD = [
    "v", "t", "_", "ts", "cb", "q", "k", "r", "id", "ip", "ids", "ref", "ver", "rev", "sid",
    "uid", "page", "time", "date", "hash", "nonce", "rnd", "rand", "random", "nocache",
    "cache", "bust", "cache_bust", "cachebuster", "utm_source", "utm_medium", "utm_campaign",
    "utm_term", "utm_content", "utm_id", "gclid", "fbclid", "msclkid", "dclid", "yclid", "gclsrc",
    "wbraid", "gbraid", "mc_cid", "mc_eid", "_ga", "_gl", "_gid", "igshid", "twclid", "ttclid",
    "ref_src", "source", "src", "from", "via", "lang", "locale", "hl", "format", "pretty",
    "callback", "jsonp", "fields", "include", "exclude", "sort", "order", "offset", "page_size",
    "per_page", "start", "end", "since", "until", "debug", "trace", "trace_id", "request_id",
    "session", "sessionid", "auth", "api_key", "sig", "signature", "expires",
    "user", "tenant", "env", "region", "zone", "client", "api-version", "timestamp", "tz", "_t",
    "_ts",
]
# fmt: on


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("typ=cost", "typ"),
        ("tpye=cost", "tpye"),
        ("Type=cost", "Type"),
        ("any-capability=x", "any-capability"),
        ("stauts=healthy", "stauts"),
        ("namspace=blue", "namspace"),
        ("limt=3", "limt"),
        ("metadata.zone=7", "metadata.zone"),
        ("mata.zone=7", "mata.zone"),
        ("capabilities=x", "capabilities"),
        ("meta=x", "meta"),
        ("meta.=x", "meta."),
        ("strategy=random", "strategy"),
        ("type=a&type=b", "type"),
        ("meta.a=1&meta.a=2", "meta.a"),
        ("limit=1&limit=2", "limit"),
        ("status=fine", "status"),
        ("status=", "status"),
        ("status=healthy,", "status"),
        ("type=" + "x" * 256, "type"),
        ("capability=" + "x" * 256, "capabilities"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=ten", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=%D9%A1", "limit"),
        ("&".join(f"meta.k{number}=v" for number in range(33)), "metadata"),
        ("meta." + "x" * 257 + "=v", "metadata"),
        ("&".join(["capability=x"] * 33), "capabilities"),
        ("&".join(["status=healthy"] * 33), "status"),
        ("version=" + ",".join(["%3E1"] * 9), "version"),
        ("&".join(f"meta.X{number}=v" for number in range(6000)), "query"),
        ("&".join(["meta.X=v"] * 129), "query"),
        ("name=" + "x" * 16 * 1024, "query"),
    ],
)
async def test_a_wrong_parameter_is_400_and_named(
    hub: FakeHub, ask: Ask, query: str, name: str
) -> None:
    answer = await ask("GET", f"/agents?{query}")
    assert answer.status == 400
    assert answer.error.startswith(f"{name}: ")
    assert len(answer.error) < 400
    assert hub.default.asked == []


async def test_a_misspelt_parameter_is_answered_with_the_one_that_is_meant(ask: Ask) -> None:
    answer = await ask("GET", "/agents?typ=cost")
    assert answer.error == "typ: no such query parameter; is type meant?"


@pytest.mark.parametrize("name", WHAT_OTHERS_ADD)
@pytest.mark.parametrize("target", ["/agents", "/agents/type/cost", "/agents/pick"])
async def test_what_caches_and_trackers_add_is_ignored(
    hub: FakeHub, ask: Ask, target: str, name: str
) -> None:
    hub.default.add(1, type="cost")
    plain = await ask("GET", target)
    answer = await ask("GET", f"{target}?{name}=1&{name}")
    assert (answer.status, answer.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/agents/type/a%2Fb%20%C3%BC", "a/b ü"),
        ("/agents/type/a%2fb/", "a/b"),
        ("/agents/type/%2F", "/"),
        ("/agents/type/a%252Fb", "a%2Fb"),
        ("/agents/type/a%252Fb%2Fc", "a%2Fb/c"),
    ],
)
async def test_a_type_in_a_path_may_hold_an_encoded_slash(
    hub: FakeHub, ask: Ask, path: str, type_: str
) -> None:
    hub.default.add(1, type=type_)
    assert (await ask("GET", path)).json()["count"] == 1


async def test_a_slash_that_is_not_encoded_is_none_of_the_type(ask: Ask) -> None:
    assert (await ask("GET", "/agents/type/a/b")).status == 404


async def test_a_parameter_of_another_route_is_refused(ask: Ask) -> None:
    answer = await ask("GET", "/agents?strategy=random")
    for name in ("type", "capability", "meta.KEY", "limit", "cursor", "namespace"):
        assert name in answer.error


async def test_a_version_that_is_no_specifier_is_the_brains_to_refuse(
    hub: FakeHub, ask: Ask
) -> None:
    hub.default.fault = ProtocolError("bad_request", "filter.version: no specifier")
    answer = await ask("GET", "/agents?version=new")
    assert answer.status == 400
    assert "version" in answer.error


async def test_pages_follow_one_another_by_cursor(hub: FakeHub, ask: Ask) -> None:
    for number in range(1, 6):
        hub.default.add(number, type="cost")
    names: list[str] = []
    target = "/agents?type=cost&limit=2"
    for expected in (2, 2, 1):
        answer = (await ask("GET", target)).json()
        assert answer["count"] == len(answer["agents"]) == expected
        names += [agent["name"] for agent in answer["agents"]]
        if expected == 2:
            target = f"/agents?type=cost&limit=2&cursor={answer['next_cursor']}"
        else:
            assert "next_cursor" not in answer
    assert names == [f"agent-{number}" for number in range(1, 6)]


async def test_a_metadata_value_is_compared_as_text_first_and_then_as_a_number(
    hub: FakeHub, ask: Ask
) -> None:
    hub.default.add(1, metadata={"gpus": 2})
    hub.default.add(2, metadata={"spot": True, "zone": "3"})
    hub.default.add(3, metadata={"gpus": 4, "zone": "3"})

    async def names(query: str) -> list[str]:
        answer = (await ask("GET", f"/agents?{query}")).json()
        return [agent["name"] for agent in answer["agents"]]

    assert await names("meta.gpus=2") == ["agent-1"]
    assert await names("meta.spot=true") == ["agent-2"]
    assert await names("meta.zone=3") == ["agent-2", "agent-3"]
    assert await names("meta.zone=3&meta.gpus=4") == ["agent-3"]
    assert await names("meta.gpus=5") == []


async def test_pages_stay_with_the_reading_that_the_first_one_found(hub: FakeHub, ask: Ask) -> None:
    for number in range(1, 5):
        hub.default.add(number, metadata={"gpus": 2})
    first = (await ask("GET", "/agents?meta.gpus=2&limit=3")).json()
    assert first["count"] == 3
    target = f"/agents?meta.gpus=2&limit=3&cursor={first['next_cursor']}"
    second = (await ask("GET", target)).json()
    assert [agent["name"] for agent in second["agents"]] == ["agent-4"]
    assert "next_cursor" not in second


@pytest.mark.parametrize("cursor", ["", "x", "7.abc", "-1.abc", "9" * 5000 + ".a", "%D9%A1.a"])
async def test_a_cursor_of_another_query_is_refused(ask: Ask, cursor: str) -> None:
    answer = await ask("GET", f"/agents?meta.gpus=2&cursor={cursor}")
    assert answer.status == 400
    assert answer.error.startswith("cursor: ")


async def test_more_ambiguous_values_than_can_be_tried_are_refused(ask: Ask) -> None:
    query = "&".join(f"meta.k{number}={number}" for number in range(5))
    answer = await ask("GET", f"/agents?{query}")
    assert answer.status == 400
    assert answer.error.startswith("meta: ")
    fitting = query.rpartition("&")[0]
    assert (await ask("GET", f"/agents?{fitting}&meta.z=text")).status == 200


async def test_one_agent_is_given_in_the_bytes_it_is_kept_as(hub: FakeHub, ask: Ask) -> None:
    record = hub.default.add(1)
    answer = await ask("GET", f"/agents/{record['id']}")
    assert (answer.status, answer.body) == (200, msgspec.json.encode(record))


async def test_an_unknown_agent_is_404_in_the_documented_words(ask: Ask) -> None:
    for unknown in ("550e8400-e29b-41d4-a716-446655440000", "nobody", "x" * 5000):
        answer = await ask("GET", f"/agents/{unknown}")
        assert (answer.status, answer.body) == (404, b'{"error":"Agent not found"}')


async def test_agents_of_a_type_are_listed_as_all_agents_are(hub: FakeHub, ask: Ask) -> None:
    record = hub.default.add(1, type="cost")
    hub.default.add(2, type="resource")
    answer = await ask("GET", "/agents/type/cost")
    assert answer.body == b'{"agents":[%s],"count":1}' % msgspec.json.encode(record)
    answer = await ask("GET", "/agents/type/nothing")
    assert answer.body == b'{"agents":[],"count":0}'


async def test_agents_of_a_type_can_be_narrowed_and_paged(hub: FakeHub, ask: Ask) -> None:
    await ask("GET", "/agents/type/cost?status=healthy&limit=5&cursor=c")
    assert hub.default.asked == [("find", Filter(type="cost", status=["healthy"]), 5, "c")]


async def test_a_type_in_path_and_query_is_refused(ask: Ask) -> None:
    answer = await ask("GET", "/agents/type/cost?type=cost")
    assert answer.status == 400
    assert answer.error.startswith("type: ")


async def test_a_type_may_be_called_as_a_route_is(hub: FakeHub, ask: Ask) -> None:
    for type_ in ("heartbeat", "register", "unregister", "pick"):
        hub.default.asked.clear()
        assert (await ask("GET", f"/agents/type/{type_}")).status == 200
        assert hub.default.asked == [("find", Filter(type=type_), None, None)]


async def test_a_pick_gives_the_record_of_one_agent(hub: FakeHub, ask: Ask) -> None:
    record = hub.default.add(1, type="cost")
    answer = await ask("GET", "/agents/pick?type=cost&strategy=sticky&key=user-7")
    assert (answer.status, answer.body) == (200, msgspec.json.encode(record))
    assert hub.default.asked == [("pick", Filter(type="cost"), "sticky", "user-7")]


async def test_a_pick_goes_round_unless_told_otherwise(hub: FakeHub, ask: Ask) -> None:
    hub.default.add(1)
    await ask("GET", "/agents/pick")
    assert hub.default.asked == [("pick", Filter(), "round_robin", None)]


async def test_a_pick_without_a_match_is_404(ask: Ask) -> None:
    answer = await ask("GET", "/agents/pick?type=cost")
    assert answer.status == 404
    assert answer.error == "no healthy agent matches"


async def test_a_pick_reads_metadata_as_a_list_does(hub: FakeHub, ask: Ask) -> None:
    hub.default.add(1, metadata={"gpus": 2})
    assert (await ask("GET", "/agents/pick?meta.gpus=2")).json()["name"] == "agent-1"
    assert (await ask("GET", "/agents/pick?meta.gpus=3")).status == 404


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("strategy=best", "strategy"),
        ("strategy=", "strategy"),
        ("key=" + "x" * 257, "key"),
        ("limit=1", "limit"),
        ("cursor=x", "cursor"),
        ("typ=cost", "typ"),
    ],
)
async def test_a_wrong_parameter_of_a_pick_is_400_and_named(
    ask: Ask, query: str, name: str
) -> None:
    answer = await ask("GET", f"/agents/pick?{query}")
    assert answer.status == 400
    assert answer.error.startswith(f"{name}: ")


async def test_a_fault_of_the_brain_in_a_pick_is_not_taken_for_no_match(
    hub: FakeHub, ask: Ask
) -> None:
    hub.default.fault = ProtocolError("bad_request", "key: sticky needs one")
    answer = await ask("GET", "/agents/pick?strategy=sticky&meta.a=1")
    assert answer.status == 400
    assert len(hub.default.asked) == 1


READS = ["/agents", "/agents/x", "/agents/type/cost", "/agents/pick"]


@pytest.mark.parametrize("target", READS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [(ProtocolError("unavailable", "not loaded yet"), 503), (RuntimeError("boom"), 500)],
)
async def test_every_read_tells_the_hubs_failures_apart(
    hub: FakeHub, ask: Ask, target: str, fault: Exception, status: int
) -> None:
    hub.default.fault = fault
    answer = await ask("GET", target)
    assert answer.status == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.error == ("not loaded yet" if status == 503 else "internal error")


@pytest.mark.parametrize("target", READS)
async def test_every_read_is_of_the_namespace_that_is_named(
    hub: FakeHub, ask: Ask, target: str
) -> None:
    await ask("GET", target, headers={"homeport-namespace": "blue"})
    await ask("GET", f"{target}?namespace=blue")
    assert (len(hub.directories["blue"].asked), hub.default.asked) == (2, [])
    answer = await ask("GET", f"{target}?namespace=no/name")
    assert answer.status == 400


async def test_answers_are_not_to_be_cached(ask: Ask) -> None:
    assert (await ask("GET", "/agents")).headers["cache-control"] == "no-store"


async def test_a_session_token_leaves_only_to_who_registers(hub: FakeHub, ask: Ask) -> None:
    sent: dict[str, Any] = {"name": "a", "type": "b", "host": "c", "port": 1}
    answer = await ask("POST", "/agents/register", msgspec.json.encode(sent))
    assert answer.json()["session_token"] == "secret"
    agent_id = hub.default.add(1)["id"]
    for path in ("/agents", f"/agents/{agent_id}", "/agents/pick"):
        assert b"session_token" not in (await ask("GET", path)).body


async def test_a_long_list_is_made_page_by_page_and_is_the_same_list(
    hub: FakeHub, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [hub.default.add(number) for number in range(25)]
    whole = await ask("GET", "/agents")
    monkeypatch.setattr(hub.default, "most", 10)
    answer = await ask("GET", "/agents")
    assert "content-length" not in answer.headers
    assert answer.body == whole.body
    assert answer.json() == {"agents": records, "count": 25}
    answer = await ask("GET", "/agents?limit=15")
    assert answer.json() == {
        "agents": records[:15],
        "count": 15,
        "next_cursor": records[14]["id"],
    }
    answer = await ask("GET", f"/agents?limit=15&cursor={records[14]['id']}")
    assert answer.json() == {"agents": records[15:], "count": 10}


async def test_the_head_of_a_long_list_has_no_length(hub: FakeHub, ask: Ask) -> None:
    for number in range(25):
        hub.default.add(number)
    hub.default.most = 10
    answer = await ask("HEAD", "/agents")
    assert (answer.status, answer.body) == (200, b"")
    assert "content-length" not in answer.headers
