"""What can be checked of the deployment files without systemd and Docker."""

from __future__ import annotations

import re
import shlex
from configparser import RawConfigParser

from hub.settings import FIELDS
from tests.docs.pages import ROOT
from tests.docs.test_docs import check_call

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
