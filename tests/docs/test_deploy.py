"""What can be checked of the deployment files without systemd and Docker."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

from hub.settings import FIELDS
from tests.docs.pages import ROOT
from tests.docs.test_docs import check_call
from tests.support.hub_process import Hub, running_hub
from tests.support.programs import environment
from tests.support.tls import CERTIFICATE, KEY

DEPLOY = ROOT / "deploy"


def test_the_unit_runs_a_command_that_exists_and_stops_only_the_hub() -> None:
    unit = RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "homeport.service", encoding="utf-8")
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/homeport")
    assert arguments[0] == "serve"
    check_call(arguments, "homeport.service")
    assert arguments[arguments.index("--data-dir") + 1] == f"/var/lib/{service['StateDirectory']}"
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 10


def test_the_image_copies_what_exists_and_sets_what_is_read() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
    packages = {
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if path.parent.name not in ("tests", "examples")
    }
    assert packages <= set(re.findall(r"^COPY (\w+) ", text, re.MULTILINE))
    variables = dict(re.findall(r"(HOMEPORT_\w+)=(\S+)", text))
    known = {field.variable: field for field in FIELDS.values()}
    for name, value in variables.items():
        known[name].parse(value)
    assert re.search(rf"^VOLUME {variables['HOMEPORT_DATA_DIR']}$", text, re.MULTILINE)
    assert re.search(rf"^EXPOSE {FIELDS['port'].default}$", text, re.MULTILINE)
    assert "USER 10001" in text


def healthcheck(hub: Hub, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEPLOY / "healthcheck.py"],
        env=environment(hub.directory, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_health_check_asks_at_the_port_that_the_hub_has(tmp_path: Path) -> None:
    with running_hub(tmp_path, "--redis", "memory://") as hub:
        proxy = "http://127.0.0.1:9"
        for name in ("HOMEPORT_PORT", "PORT"):
            done = healthcheck(hub, **{name: str(hub.port), "http_proxy": proxy})
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        config = tmp_path / "homeport.toml"
        config.write_text(f"port = {hub.port}\n")
        assert healthcheck(hub, HOMEPORT_CONFIG=str(config)).returncode == 0
        port = str(hub.port)
    done = healthcheck(hub, HOMEPORT_PORT=port)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("the hub cannot be asked: ")
    done = healthcheck(hub, HOMEPORT_PORT="many")
    assert (done.returncode, done.stderr) == (1, "")
    assert "HOMEPORT_PORT: " in done.stdout


def test_the_health_check_asks_a_hub_that_speaks_tls(tmp_path: Path) -> None:
    certificate, key = str(CERTIFICATE), str(KEY)
    with running_hub(
        tmp_path, "--redis", "memory://", "--tls-cert", certificate, "--tls-key", key
    ) as hub:
        tls = {"HOMEPORT_TLS_CERT": certificate, "HOMEPORT_TLS_KEY": key}
        done = healthcheck(hub, HOMEPORT_PORT=str(hub.port), **tls)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_health_check_of_the_image_is_the_one_that_is_tested() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY deploy/healthcheck.py /opt/homeport/healthcheck.py" in text
    assert 'CMD ["python", "/opt/homeport/healthcheck.py"]' in text


def test_the_compose_file_sets_what_is_read_and_publishes_on_loopback_only() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    known = {field.variable: field for field in FIELDS.values()}
    variables = dict(re.findall(r"^ +(HOMEPORT_\w+): (\S+)$", text, re.MULTILINE))
    assert variables
    for name, value in variables.items():
        known[name].parse(value)
    assert re.findall(r'- "([^"]+:\d+)"', text) == ["127.0.0.1:8080:8080"]
    assert "noeviction" in text
    assert (ROOT / "deploy" / re.findall(r"context: (\S+)", text)[0]).resolve() == ROOT
