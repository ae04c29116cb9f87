"""What is installed: its files, and its types as a strict type checker of another program sees."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["homeport_protocol", "actors", "hub", "agent_client", "bench"]
TYPED = ["homeport_protocol", "actors", "hub", "agent_client"]

# An ignored error that is none, because everything is Any, is an error of strict types itself.
PROGRAM = """
from agent_client import AgentClient, AgentRecord, Event, HubClient


async def main(url: str) -> list[str]:
    async with AgentClient(url, name="cost-1", type="cost") as agent:
        await agent.report(load="much")  # type: ignore[arg-type]
    async with HubClient(url) as hub:
        found: list[AgentRecord] = await hub.find(type="cost")
        async for item in hub.watch(type="cost"):
            if isinstance(item, Event):
                found.append(item.agent.nmae)  # type: ignore[attr-defined]
    return [agent.name for agent in found]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the source distribution of this checkout."""
    directory = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-d", directory]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy keeps of the libraries, which are the same for every way to install."""
    return tmp_path_factory.mktemp("cache")


def sources() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def assert_strictly_typed(python: Path, directory: Path, cache: Path) -> None:
    """A program that uses the client passes `mypy --strict` with what `python` has installed."""
    (directory / "program.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    environment.pop("MYPYPATH", None)
    checked = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "mypy", "--strict", "--config-file="),
            *("--cache-dir", cache, "--python-executable", python, "program.py"),
        ],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == sources()
    assert {f"{package}/py.typed" for package in TYPED} <= set(names)
    assert {f"hub/store/scripts/{script}.lua" for script in ("open", "commit")} <= set(names)


def test_the_source_distribution_holds_the_packages_and_how_to_build_them(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    others = {"PKG-INFO", "LICENSE", "README.md", "pyproject.toml", ".gitignore"}
    assert names == sources() | others


def test_a_program_passes_strict_types_with_the_install_that_runs_this(
    tmp_path: Path, cache: Path
) -> None:
    # In development, and with the README's command, an editable one.
    assert distribution("homeport")
    assert_strictly_typed(Path(sys.executable), tmp_path, cache)


@pytest.mark.parametrize(("hook", "place"), [("build_wheel", None), ("build_editable", ROOT)])
def test_a_program_passes_strict_types_with_either_way_to_install(
    tmp_path: Path, cache: Path, hook: str, place: Path | None
) -> None:
    # What pip asks of the build backend, without pip.
    code = f"from hatchling.build import {hook}; {hook}({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    paths = sysconfig.get_paths("venv", {"base": str(tmp_path / "env")})
    installed = Path(paths["purelib"])
    # Libraries come from here; the .pth file of an editable install there is not read.
    (installed / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    zipfile.ZipFile(wheel).extractall(installed)
    python = Path(paths["scripts"]) / "python"
    said = subprocess.run(
        [python, "-P", "-c", "import agent_client; print(agent_client.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(said.stdout.strip()).is_relative_to(place or installed)
    assert_strictly_typed(python, tmp_path, cache)
