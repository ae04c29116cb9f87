"""A principal that registers too fast is told when it may go on; nobody else notices."""

from __future__ import annotations

from actors.rules.permissions import Principal
from actors.rules.registration_rate import RegistrationRate
from tests.support.world import World

FAST = Principal(id="token:fast", role="agent")
OTHER = Principal(id="token:other", role="agent")
AGENT = {"name": "a1", "type": "cost"}


def test_too_many_registrations_are_refused_over_both_transports_and_agents_go_on() -> None:
    world = World(registration_rate=RegistrationRate(rate=1, burst=2))
    link, _ = world.agent(principal=FAST)
    lease = world.http_register(principal=FAST)
    refused = world.connect(FAST).ask(op="register", agent=AGENT)
    assert (refused["code"], refused["retryable"]) == ("rate_limited", True)
    assert 0 < refused["retry_after"] <= 1
    assert "max_registrations_per_second" in refused["message"]
    over_http = world.http_register(principal=FAST)
    assert (over_http.code, 0 < over_http.retry_after <= 1) == ("rate_limited", True)
    assert world.observer.limits["max_registrations_per_second"] == 2

    assert world.http_register(principal=OTHER).epoch > 0
    assert world.http_register().epoch > 0, "of nobody there is no limit"
    assert link.ask(op="heartbeat")["op"] == "heartbeat_ack"
    assert world.http_heartbeat(lease.agent_id, principal=FAST).durable is True

    world.advance(refused["retry_after"])
    assert world.http_register(principal=FAST).epoch > 0
