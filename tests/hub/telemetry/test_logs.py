from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
import structlog

from hub.telemetry import logs
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics
from hub.telemetry.observer import HubObserver
from tests.support.records import record

SECRETS = ("hunter2", "s3cr3t/with@odd:parts", "eyJhbGciOi")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name) for name in logs._CHATTY}
    levels = {name: library.level for name, library in libraries.items()}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, library in libraries.items():
        library.setLevel(levels[name])
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def logged(monkeypatch) -> Callable[..., io.StringIO]:
    """Configure, with standard error in memory."""

    def configure(format="console", level="info", stream=None) -> io.StringIO:
        stream = io.StringIO() if stream is None else stream
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(format, level)
        return stream

    return configure


def test_console_lines_say_when_how_serious_what_who_and_the_rest(logged):
    stream = logged()
    logs.get("engine").info("store engine started", server="Valkey 9")
    line = stream.getvalue()
    said = line.split(maxsplit=1)[1]
    assert " ".join(said.split()) == "[info ] store engine started [engine] server='Valkey 9'"
    assert line[:11].endswith("T")
    assert line.split()[0].endswith("Z")


def test_json_lines_are_objects_that_begin_with_the_same(logged):
    stream = logged("json")
    logs.get("engine").warning("moved", count=3, name="é", nothing=None, yes=True)
    entry = json.loads(stream.getvalue())
    assert list(entry)[:4] == ["timestamp", "level", "logger", "event"]
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "engine",
        "event": "moved",
        "count": 3,
        "name": "é",
        "nothing": None,
        "yes": True,
    }


def test_json_lines_stay_valid_json_whatever_is_logged(logged):
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    deep: list[object] = []
    deep.append(deep)
    stream = logged("json")
    logs.get("x").info("odd", nan=float("nan"), raw=b"\xff", broken=Broken(), deep=deep, s={1})
    entry = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert entry["nan"] == "nan"
    assert entry["broken"] == "<Broken whose repr raises RuntimeError>"
    assert entry["s"] == [1]


def test_levels_below_the_threshold_are_not_logged(logged):
    stream = logged(level="warning")
    logs.get("a").info("quiet")
    logging.getLogger("b").info("quiet")
    logs.get("a").warning("loud")
    logging.getLogger("b").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert stream.getvalue().count("loud") == 2


@pytest.mark.parametrize("library", ["uvicorn.error", "websockets.server", "redis", "asyncio"])
def test_libraries_go_through_the_same_form_and_are_heard_from_warning_up(logged, library):
    stream = logged("json")
    logging.getLogger(library).info("connection open")
    logging.getLogger(library).warning("odd: %s", "thing")
    entry = json.loads(stream.getvalue())
    assert (entry["logger"], entry["level"], entry["event"]) == (library, "warning", "odd: thing")


def test_libraries_are_heard_in_full_when_debugging(logged):
    stream = logged(level="debug")
    logging.getLogger("websockets.server").debug("a frame")
    assert "a frame" in stream.getvalue()


def test_python_warnings_go_through_the_same_form(logged):
    stream = logged("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("json")
        warnings.warn("mind this", stacklevel=1)
    assert "mind this" in json.loads(stream.getvalue())["event"]


def test_colours_are_for_terminals_only(logged, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = logged()
    logs.get("x").info("hello")
    assert "\x1b" not in plain.getvalue()
    coloured = logged(stream=Terminal())
    logs.get("x").info("hello")
    assert "\x1b[" in coloured.getvalue()


def test_no_color_is_respected(logged, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = logged(stream=Terminal())
    logs.get("x").info("hello")
    assert "\x1b" not in stream.getvalue()


def test_configuring_again_replaces_and_does_not_double(logged):
    logged()
    stream = logged("json")
    logs.get("x").info("once")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("format", ["console", "json"])
def test_no_secret_is_ever_written(logged, format):
    stream = logged(format, "debug")
    log = logs.get("x")
    for secret in SECRETS:
        log.info("keys", token=secret, session_token=secret, password=secret, secret=secret)
        log.info("more", authorization=secret, api_key=secret, HOMEPORT_TOKEN=secret)
        log.info("nested", headers={"Authorization": secret, "more": [{"sessionToken": secret}]})
        log.info("url", redis=f"redis://user:{secret}@host:6379/0")
        log.info("in a list", urls=[f"redis://:{secret}@host", (f"rediss://:{secret}@host",)])
        log.info("in an error", error=ConnectionError(f"redis://:{secret}@host refused"))
        log.bind(token=secret).info("bound")
        logging.getLogger("redis").warning("cannot reach redis://:%s@host", secret)
        logging.getLogger("b").info("extra", extra={"password": secret})
        try:
            raise ConnectionError(f"unix://u:{secret}@/socket")
        except ConnectionError:
            log.exception("failed")
            logging.getLogger("c").exception("failed")
    log.info("GET /ws?token=hunter2&x=1 HTTP/1.1", header="Bearer eyJhbGciOi.abc_def")
    written = stream.getvalue()
    assert [secret for secret in SECRETS if secret in written] == []
    assert written.count(logs.REDACTED) > 3 * 11
    assert "x=1 HTTP/1.1" in written
    assert "host:6379/0" in written


def test_what_only_resembles_a_secret_is_kept(logged):
    stream = logged("json")
    logs.get("x").info("counts", token_count=3, tokens_left=2, tokenizer="t", mail="a@b.c")
    entry = json.loads(stream.getvalue())
    assert (entry["token_count"], entry["tokenizer"], entry["mail"]) == (3, "t", "a@b.c")


def test_strangers_cannot_drive_the_terminal_or_forge_lines(logged):
    stream = logged()
    logs.get("x").info("said", text="\x1b[2J", more="a\nb", last="\x9b2J")
    logging.getLogger("library").warning("bad\n2026 [error] forged \x1b[31m")
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert "\x1b" not in written
    assert "\x9b" not in written


def test_a_traceback_keeps_its_lines_on_the_console(logged):
    stream = logged()
    try:
        raise ValueError("wrong")
    except ValueError:
        logs.get("x").exception("failed")
    assert "\nTraceback (most recent call last):\n" in stream.getvalue()
    assert stream.getvalue().endswith("ValueError: wrong\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:pw@host", "redis://[redacted]@host"),
        ("a redis://u:p/w@host and b@c", "a redis://[redacted]@host and b@c"),
        (
            "redis+sentinel://u:p@h:1,i:2/m/0?sentinel_username=s&sentinel_password=pw&db=1",
            "redis+sentinel://[redacted]@h:1,i:2/m/0?sentinel_username=s"
            "&sentinel_password=[redacted]&db=1",
        ),
        ("redis+cluster://u:p@h:1,i:2", "redis+cluster://[redacted]@h:1,i:2"),
        ("redis://h/0?password=pw&db=1", "redis://h/0?password=[redacted]&db=1"),
        ("Authorization: Bearer abcdef.ghi", "Authorization: Bearer [redacted]"),
        ("basic rules apply", "basic rules apply"),
        (f"no such {'hp1_abcdefghij01_' + 46 * 'x'}: none", "no such [redacted]: none"),
        ("it is eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln.", "it is [redacted]."),
        ("a token begins with hp1_ or eyJ", "a token begins with hp1_ or eyJ"),
    ],
)
def test_text_loses_its_secrets_and_nothing_else(text, expected):
    assert logs.redact_text(text) == expected


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["agent registered", "agent unreachable", "agent expired"]),
        ("info", ["agent unreachable", "agent expired"]),
        ("warning", []),
    ],
)
def test_changes_of_agents_are_told_at_info_when_they_matter_and_else_at_debug(logged, level, told):
    stream = logged("json", level=level)
    metrics = Metrics("hub-a", "0")
    observer = HubObserver(
        "default", metrics, LimitReports(metrics), 90.0, audit=AuditLog(None, "hub-1", metrics)
    )
    observer.changed("registered", record(), here=True)
    observer.changed("status_changed", record(status="unreachable"), here=True)
    observer.changed("expired", record(status="unreachable"), here=True)
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [entry["event"] for entry in entries] == told
    assert all(entry["namespace"] == "default" for entry in entries)
    expected = {"agent unreachable": "info", "agent expired": "info", "agent registered": "debug"}
    assert all(entry["level"] == expected[entry["event"]] for entry in entries)


def test_a_hub_with_other_times_is_told_once_and_in_one_namespace_only(logged):
    stream = logged("json", level="info")
    metrics = Metrics("hub-a", "0")
    for namespace in ("default", "blue"):
        observer = HubObserver(
            namespace, metrics, LimitReports(metrics), 90.0, audit=AuditLog(None, "hub-1", metrics)
        )
        for sentences in (["hub b has other times"], [], ["hub b has other times"]):
            observer.hubs_differ(sentences)
    (entry,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (entry["event"], entry["level"]) == ("hub b has other times", "warning")
