"""`homeport serve`: from flags, environment and file to the settings that the server gets."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hub.__main__ import main
from hub.cli.main import cli, run
from hub.errors import HubError
from hub.settings import FIELDS, Settings, Source


class Server(ModuleType):
    """Stands in for `hub.process.run`: keeps its settings, announces, and does as the test says."""

    def __init__(self) -> None:
        super().__init__("hub.process.run")
        self.settings: Settings | None = None
        self.fails: Exception | None = None

    def run(self, settings: Settings, announce: Callable[[str], None], _source: Source) -> int:
        if self.fails is not None:
            raise self.fails
        self.settings = settings
        announce(f"Homeport is listening on http://{settings.host}:{settings.port}")
        return 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    for variable in ("PORT", "REDIS_ADDR", "REDIS_PASSWORD", "HOMEPORT_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    for field in FIELDS.values():
        monkeypatch.delenv(field.variable, raising=False)
    stand_in = Server()
    monkeypatch.setitem(sys.modules, "hub.process.run", stand_in)
    return stand_in


def test_the_url_is_announced_in_one_line_on_stdout(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve"]) == 0
    assert capsys.readouterr() == ("Homeport is listening on http://127.0.0.1:8080\n", "")


def test_every_setting_is_an_option_that_says_its_variable_and_its_default(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {option for parameter in cli.commands["serve"].params for option in parameter.opts}
    assert {field.flag for field in FIELDS.values()} | {"--config"} == options
    assert run(["serve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in FIELDS.values():
        assert f"[{field.variable}; default: {field.default_text}]" in text


def test_every_documented_flag_reaches_the_settings(server: Server) -> None:
    flags = (
        "--host 0.0.0.0 --port 9000 --redis memory:// --hub-id hub-7 --heartbeat-interval 0.3 "
        "--heartbeat-timeout 0.45 --lease-ttl 0.6 --resume-window 0.05 --log-format json "
        "--data-dir /tmp/data"
    )
    status = run(["serve", *shlex.split(flags)])
    assert status == 0
    settings = server.settings
    assert settings is not None
    assert (settings.host, settings.port, settings.redis) == ("0.0.0.0", 9000, "memory://")
    assert (settings.hub_id, settings.log_format) == ("hub-7", "json")
    assert (settings.heartbeat_interval, settings.heartbeat_timeout) == (0.3, 0.45)
    assert (settings.lease_ttl, settings.resume_window) == (0.6, 0.05)
    assert settings.data_dir == "/tmp/data"


def test_a_flag_beats_the_environment_which_beats_the_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "homeport.toml"
    config.write_text('port = 1\nlease_ttl = 70\nhub_id = "from-file"\n')
    monkeypatch.setenv("HOMEPORT_PORT", "2")
    monkeypatch.setenv("HOMEPORT_LEASE_TTL", "80")
    assert run(["serve", "--config", str(config), "--port", "3"]) == 0
    assert server.settings is not None
    assert server.settings.port == 3
    assert server.settings.lease_ttl == 80
    assert server.settings.hub_id == "from-file"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "70000"),
        ("--port", "http"),
        ("--heartbeat-timeout", "0"),
        ("--log-format", "xml"),
        ("--redis", "http://x"),
    ],
)
def test_a_flag_of_the_wrong_kind_is_wrong_usage(
    server: Server, arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"homeport serve: invalid value for '{arguments[0]}': expected ")
    assert server.settings is None


def test_a_password_in_a_wrong_redis_url_is_not_repeated(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--redis", "http://:hunter2@x"]) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_a_wrong_value_in_the_environment_is_wrong_usage_that_names_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEPORT_PORT", "eighty")
    assert run(["serve"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("homeport: HOMEPORT_PORT: expected ")
    assert error.count("\n") == 1


def test_a_config_file_that_is_not_there_is_wrong_usage_that_names_it(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["serve", "--config", str(tmp_path / "none.toml")]) == 2
    assert f"cannot read {tmp_path / 'none.toml'}" in capsys.readouterr().err


def test_what_keeps_the_server_from_starting_is_one_sentence(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fails = HubError("port 8080 is taken by another program")
    assert run(["serve"]) == 1
    assert capsys.readouterr() == ("", "homeport: port 8080 is taken by another program.\n")


def test_several_workers_are_run_by_another_program_than_one_hub(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = Server()
    monkeypatch.setitem(sys.modules, "hub.process.workers", workers)
    assert run(["serve", "--workers", "3", "--hub-id", "eu"]) == 0
    assert server.settings is None
    assert workers.settings is not None
    assert (workers.settings.workers, workers.settings.hub_id) == (3, "eu")
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(["serve", "--workers", "1"]) == 0
    assert server.settings is not None


def test_where_the_kernel_does_not_spread_connections_workers_are_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert run(["serve", "--workers", "2"]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("homeport: several workers need Linux")
    assert error.count("\n") == 1
    assert server.settings is None


def test_workers_without_a_store_that_all_can_reach_are_refused(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--workers", "2", "--redis", "memory://"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("homeport: --workers: workers with memory:// could not see")
    assert error.count("\n") == 1


def test_a_name_that_leaves_no_room_for_the_workers_is_wrong_usage(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--workers", "2", "--hub-id", "h" * 64]) == 2
    assert "leaves it at most 62 characters, got 64" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h?nonsense=1&password=hunter2", "an option that does not exist"),
        ("redis+sentinel://:hunter2@h/main?nonsense=1", "an option that does not exist"),
        ("redis+cluster://:hunter2@h?nonsense=1", "an option that does not exist"),
        ("redis+cluster://:hunter2@h?db=1", "a Redis Cluster has no database but 0"),
        ("redis+cluster://:hunter2@h/1", "a Redis Cluster has no database but 0"),
        ("redis+sentinel://:hunter2@h:1,i", "the name of the primary is missing"),
        ("redis+sentinel://:hunter2@h/?db=1", "the name of the primary is missing"),
    ],
)
def test_a_redis_url_that_can_be_nobodys_is_wrong_usage(
    server: Server, url: str, said: str, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--workers", workers, "--redis", url]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert said in error
    assert "hunter2" not in error
    assert server.settings is None


def test_a_redis_url_with_an_option_of_the_library_is_accepted(server: Server) -> None:
    assert run(["serve", "--redis", "rediss+cluster://h?ssl_cert_reqs=none&db=0"]) == 0


def test_a_missing_server_package_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    server.fails = ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
    monkeypatch.setattr(sys, "argv", ["homeport", "serve"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "pip install '.[hub]'" in capsys.readouterr().err
