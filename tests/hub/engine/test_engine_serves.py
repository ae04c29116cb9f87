from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hub.engine import EmbeddedEngine, EngineError, ServerBinary
from hub.engine import data_directory as directory_module
from hub.engine import engine as engine_module
from hub.engine import server_process as server_module
from hub.engine.data_directory import MAX_SOCKET_PATH
from tests.hub.engine.processes import answers, client
from tests.support.programs import alive
from tests.support.waiting import until


async def test_it_serves_at_a_unix_socket_and_nowhere_else(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    assert url.startswith("unix:///")
    assert client(url).ping()
    assert client(url).config_get("port") == {"port": "0"}
    assert alive(engine.pid)


async def test_it_appends_every_write_to_its_log_and_never_evicts(start_engine, tmp_path):
    _, url = await start_engine(tmp_path / "d")
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "dir": str(tmp_path / "d"),
    }
    assert {name: client(url).config_get(name)[name] for name in expected} == expected


async def test_what_is_stored_is_there_after_a_restart(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    pid = engine.pid
    await engine.stop()
    assert engine.pid is None
    assert not alive(pid)

    _, url = await start_engine(tmp_path / "d")
    assert client(url).get("kept") == "yes"


async def test_everything_it_makes_is_private_to_the_user(start_engine, tmp_path):
    data_dir = tmp_path / "made" / "anew"
    _, url = await start_engine(data_dir)
    client(url).set("secret", "yes")
    assert data_dir.stat().st_mode & 0o777 == 0o700
    for path in [*data_dir.rglob("*"), Path(url.removeprefix("unix://"))]:
        assert path.lstat().st_mode & 0o077 == 0, path


async def test_a_long_data_directory_gets_its_socket_elsewhere_and_leaves_none(
    start_engine, tmp_path
):
    data_dir = tmp_path / ("long" * 20) / ("er" * 40)
    engine, url = await start_engine(data_dir)
    socket = Path(url.removeprefix("unix://"))
    assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH
    assert data_dir not in socket.parents
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    client(url).set("kept", "yes")
    await engine.stop()
    assert not socket.parent.exists()

    _, url = await start_engine(data_dir)
    assert client(url).get("kept") == "yes"


async def test_a_disk_that_holds_no_sockets_gets_its_socket_elsewhere(
    start_engine, tmp_path, monkeypatch
):
    can_bind = directory_module._can_bind
    monkeypatch.setattr(
        directory_module, "_can_bind", lambda path: tmp_path not in path.parents and can_bind(path)
    )
    _, url = await start_engine(tmp_path / "d")
    assert not url.startswith(f"unix://{tmp_path}")
    assert answers(url)


async def test_a_data_directory_with_spaces_and_accents_works(start_engine, tmp_path):
    _, url = await start_engine(tmp_path / "Ünser Verzeichnis %41 #1?")
    assert answers(url)


async def test_the_server_and_its_guard_hold_nothing_of_the_hub_open(start_engine, tmp_path):
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    os.set_blocking(ours, False)
    await start_engine(tmp_path / "d")
    os.close(theirs)
    assert os.read(ours, 1) == b""  # else: nobody else has the other end open
    os.close(ours)


async def test_stopping_twice_or_before_the_start_is_harmless(tmp_path):
    engine = EmbeddedEngine(tmp_path / "d")
    await engine.stop()
    await engine.start()
    await engine.stop()
    await engine.stop()


async def test_a_server_that_was_suspended_is_stopped_all_the_same(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    pid = engine.pid
    os.kill(pid, signal.SIGSTOP)
    await engine.stop()
    assert not alive(pid)
    _, url = await start_engine(tmp_path / "d")
    assert client(url).get("kept") == "yes"


async def test_a_log_cut_short_by_a_crash_is_loaded_up_to_the_cut(start_engine, tmp_path):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    await engine.stop()
    logs = sorted((tmp_path / "d").glob("appendonly*/*.aof")) or [tmp_path / "d/appendonly.aof"]
    with logs[-1].open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$100\r\nhal")

    _, url = await start_engine(tmp_path / "d")
    assert client(url).get("kept") == "yes"
    assert client(url).get("lost") is None


async def test_data_that_cannot_be_read_is_a_plain_error_with_the_servers_last_words(
    start_engine, tmp_path
):
    engine, url = await start_engine(tmp_path / "d")
    client(url).set("kept", "yes")
    await engine.stop()
    spoiled = sorted((tmp_path / "d").glob("appendonly*/*.aof")) or [tmp_path / "d/appendonly.aof"]
    spoiled[-1].write_bytes(b"no such thing\r\n" * 100)

    with pytest.raises(EngineError, match=r"did not start.*last words.*[Bb]ad file.*engine\.log"):
        await EmbeddedEngine(tmp_path / "d").start()

    spoiled[-1].write_bytes(b"")  # nothing is left running, and the directory is free
    await start_engine(tmp_path / "d")


async def test_a_server_that_never_answers_is_a_plain_error_and_is_ended(
    start_engine, tmp_path, monkeypatch
):
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\necho waiting for nothing >&2\nexec sleep 600\n")
    deaf.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(server_module, "ANSWER_TIMEOUT", 0.3)
        program = ServerBinary(path=str(deaf), product="Deaf", version=(9, 0, 0))
        patch.setattr(engine_module, "find_server", lambda _: program)
        with pytest.raises(EngineError, match=r"Deaf 9\.0\.0.*no answer.*waiting for nothing"):
            await EmbeddedEngine(tmp_path / "d").start()
    await start_engine(tmp_path / "d")


async def test_the_servers_log_is_set_aside_when_it_is_long(start_engine, tmp_path, monkeypatch):
    monkeypatch.setattr(directory_module, "MAX_LOG_BYTES", 1000)
    (tmp_path / "engine.log").write_bytes(b"old\n" * 1000)
    await start_engine(tmp_path)
    assert (tmp_path / "engine.log.1").read_bytes() == b"old\n" * 1000
    assert b"old" not in (tmp_path / "engine.log").read_bytes()
    ready = b"ready to accept"
    assert await until(lambda: ready in (tmp_path / "engine.log").read_bytes().lower())


@pytest.mark.parametrize("path", ["file", "file/below"])
async def test_a_data_directory_that_cannot_be_made_is_a_plain_error(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EngineError,
        match=rf"cannot make the data directory .*: {tmp_path}/file is a file; .*--data-dir",
    ):
        await EmbeddedEngine(tmp_path / path).start()
