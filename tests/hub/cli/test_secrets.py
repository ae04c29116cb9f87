"""No command shows a secret, however it fails: not in its output, its errors or its tracebacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from homeport_protocol.tokens import make_token
from hub.cli.main import run
from tests.support.fake_hub import ThreadedHub, running_hub
from tests.support.ports import free_port
from tests.support.tls import server_context

MARK = "S3CR3T"
TOKEN = make_token("abcdefghij01", f"{MARK:x<40}")
AGENT = "3f2a91bc-8f0e-4c57-9d39-0f1c2d7f5a11"

COMMANDS = [
    ("agents",),
    ("agent", AGENT),
    ("pick", "--type", "cost"),
    ("watch", "--json"),
    ("hubs",),
    ("acknowledge-loss", "--yes"),
    ("remove", AGENT),
    ("token", "list"),
    ("token", "create", "--role", "agent"),
    ("register", "--name", "a", "--type", "b", "--wait", "0.2"),
]


class Place(NamedTuple):
    """Where a secret is given: options, environment, user of the URL."""

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})
    user: str = ""


PLACES = {
    "--token": Place(("--token", TOKEN)),
    "a bad --token": Place(("--token", f"hp1_{MARK}")),
    "a --token of two words": Place(("--token", f"{MARK} {MARK}")),
    "--token-file": Place(("--token-file", "token")),
    "--token and --token-file": Place(("--token", MARK, "--token-file", "token")),
    "--header": Place(("--header", f"X-Key: {MARK}")),
    "a bad --header": Place(("--header", f"X-Key\x00: {MARK}")),
    "a certificate": Place(("--ca-file", "token", "--client-cert", "token")),
    "HOMEPORT_TOKEN": Place(environment={"HOMEPORT_TOKEN": MARK}),
    "a bad HOMEPORT_TOKEN": Place(environment={"HOMEPORT_TOKEN": f"{MARK}\t"}),
    "HOMEPORT_HEADERS": Place(environment={"HOMEPORT_HEADERS": f"Authorization: Bearer {MARK}"}),
    "a misspelt variable": Place(environment={"HOMEPORT_TOKN": MARK}),
    "a password": Place(user=f"agent:{MARK}@"),
    "a token as password": Place(user=f"agent:{TOKEN}@"),
    "a bad password": Place(user=f"agent:{MARK}%ff@"),
    "a user alone": Place(user=f"{MARK}@"),
    "a password with a slash": Place(user=f"agent:{MARK}/x@"),
}


@pytest.fixture(scope="module")
def refusing() -> Iterator[ThreadedHub]:
    with running_hub() as hub:
        hub.handshake = (401, {"error": "the token is not known"}, {})
        yield hub


@pytest.fixture(scope="module")
def secure() -> Iterator[ThreadedHub]:
    with running_hub(tls=server_context()) as hub:
        yield hub


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place: Place = request.param
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(MARK)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@pytest.mark.parametrize("debug", ["", "1"])
def test_however_a_command_fails(  # noqa: PLR0917 - fixtures
    refusing: ThreadedHub,
    secure: ThreadedHub,
    place: Place,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    debug: str,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HOMEPORT_DEBUG", debug)
    hubs = [refusing.url, secure.url, secure.url.replace("http:", "https:")]
    hubs += [f"http://127.0.0.1:{free_port()}", "ftp://127.0.0.1", "http://127.0.0.1:0"]
    for command in COMMANDS:
        for hub in hubs:
            url = hub.replace("://", f"://{place.user}")
            assert run([*command, "--url", url, *place.options]) in (1, 2), (command, hub)
    url = refusing.url.replace("://", f"://{place.user or f'agent:{TOKEN}@'}")
    for wrong in (
        ["agents", url],
        ["agents", TOKEN],
        ["agents", "--tokn", TOKEN],
        [url],
        ["agent", TOKEN, "--url", url],
    ):
        assert run([*wrong, *place.options]) in (1, 2)
    out, err = capsys.readouterr()
    ours = [each.getMessage() for each in caplog.records if "server" not in each.name]
    for line in "\n".join([out, err, *ours]).splitlines():
        assert MARK not in line
