"""`homeport hubs` and `acknowledge-loss`, as processes against a scripted hub."""

from __future__ import annotations

import json

import pytest

from tests.support.fake_hub import ThreadedHub, hub_status
from tests.support.programs import Homeport


def test_hubs_are_plain_columns_with_the_one_that_answered_marked(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    far = hub_status("hub-10", url="http://10.0.0.10:8080", agents=1200, sessions=900, lag=12)
    hub.hubs = [hub_status("hub-1"), far]
    done = homeport.run("hubs", "--url", hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    head, one, ten = done.stdout.splitlines()
    assert head.split() == ["HUB", "URL", "VERSION", "UP", "AGENTS", "SESSIONS", "LAG"]
    assert one.startswith("hub-1*  http://10.0.0.1:8080   0.2.0    ")
    assert ten.startswith("hub-10  http://10.0.0.10:8080  0.2.0    ")
    assert one.split()[-3:] == ["1", "1", "0"]
    assert ten.split()[-3:] == ["1200", "900", "12"]
    assert len(head) == len(one) == len(ten)  # numbers are set to the right


def test_hubs_as_json_are_the_answer_in_the_order_of_the_contract(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run("hubs", "--json", HOMEPORT_URL=hub.url)
    document = json.loads(done.stdout)
    expected = {"hubs": hub.hubs, "answered_by": "hub-1", "log": "log-a", "revision": 100}
    assert document == expected
    assert list(document) == list(expected)
    assert list(document["hubs"][0]) == list(hub.hubs[0])
    assert len(done.stdout.splitlines()) == 1


def test_what_a_hub_says_of_itself_cannot_steer_a_terminal(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.hubs = [hub_status("hub-1", url="http://\x1b]0;owned\x07", version="")]
    done = homeport.run("hubs", "--url", hub.url)
    assert "\x1b" not in done.stdout
    assert "http://\\x1b]0;owned\\x07  -        " in done.stdout


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (0, "Nothing was held back: no agents were lost at once.\n"),
        (1, "Acknowledged: 1 agent that was lost at once may be removed now.\n"),
        (12, "Acknowledged: 12 agents that were lost at once may be removed now.\n"),
    ],
)
def test_an_acknowledged_loss_is_told_in_numbers(
    hub: ThreadedHub, homeport: Homeport, lost: int, said: str
) -> None:
    hub.lost = lost
    done = homeport.run("acknowledge-loss", "--url", hub.url, "--namespace", "blue")
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert len(hub.requests("acknowledge_loss")) == 1
    assert hub.handshakes[0].headers["Homeport-Namespace"] == "blue"


@pytest.mark.parametrize("command", ["hubs", "acknowledge-loss"])
def test_a_refusal_is_told_in_the_hubs_words(
    hub: ThreadedHub, homeport: Homeport, command: str
) -> None:
    hub.refuse(command.replace("-", "_"), "unavailable", "the hub is not ready: Redis is away")
    done = homeport.run(command, "--url", hub.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "homeport: the hub is not ready: Redis is away.\n"


def test_a_hub_that_knows_no_clusters_says_so(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.refuse("hubs", "unknown_op", "unknown op 'hubs'")
    done = homeport.run("hubs", "--url", hub.url)
    assert (done.returncode, done.stderr) == (1, "homeport: unknown op 'hubs'.\n")
