"""Lines are appended whole, by a thread, whatever the file is in for."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.telemetry.line_writer import LineWriter
from tests.support.waiting import wait_until

Start = Callable[..., LineWriter]


@pytest.fixture
def failures() -> list[str | None]:
    return []


@pytest.fixture
def start(failures: list[str | None]) -> Iterator[Start]:
    writers: list[LineWriter] = []

    def make(target: str | int, **options: int) -> LineWriter:
        writer = LineWriter(target, failures.append, **options)
        writer.start()
        writers.append(writer)
        return writer

    yield make
    for writer in writers:
        writer.close(10)


def test_all_lines_are_there_in_their_order_once_it_is_closed(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "log"
    writer = start(str(path))
    lines = [b"%d" % n for n in range(50_000)]
    assert all(writer.put(line) for line in lines)
    assert writer.close(30) == 0
    assert path.read_bytes().splitlines() == lines


def test_the_file_is_its_owners_only(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "log"
    start(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path, start: Start) -> None:
    with pytest.raises(OSError, match="directory"):
        start(str(tmp_path))


def test_a_renamed_file_gets_what_came_before_reopening_and_a_new_one_the_rest(
    tmp_path: Path, start: Start
) -> None:
    path = tmp_path / "log"
    writer = start(str(path))
    writer.put(b"before")
    wait_until(lambda: path.read_bytes() == b"before\n")
    path.rename(tmp_path / "log.1")
    writer.put(b"still")
    wait_until(lambda: (tmp_path / "log.1").read_bytes() == b"before\nstill\n")
    writer.reopen()
    wait_until(path.exists)
    writer.put(b"after")
    wait_until(lambda: path.read_bytes() == b"after\n")
    assert (tmp_path / "log.1").read_bytes() == b"before\nstill\n"


def test_while_the_file_cannot_be_opened_again_the_old_one_is_written(
    tmp_path: Path, start: Start, failures: list[str | None]
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    path = directory / "log"
    writer = start(str(path))
    directory.rename(tmp_path / "away")
    writer.reopen()
    wait_until(lambda: failures)
    writer.put(b"line")
    wait_until(lambda: (tmp_path / "away" / "log").read_bytes() == b"line\n")
    assert failures[0] == "No such file or directory"
    assert failures[-1] is None, "it goes on"


def test_a_full_disk_is_told_and_lines_beyond_the_bound_are_lost(
    start: Start, failures: list[str | None]
) -> None:
    writer = start("/dev/full", max_waiting=1000)
    taken = [writer.put(b"x" * 99) for _ in range(20)]
    assert taken == [True] * 10 + [False] * 10
    wait_until(lambda: failures)
    assert failures[0] == "No space left on device"
    assert writer.close(10) == 1000


def test_what_waits_is_written_once_there_is_room_again(
    tmp_path: Path, start: Start, failures: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, full = tmp_path / "log", threading.Event()
    full.set()
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        if full.is_set() and b"line" in data:
            if len(data) <= 3:
                raise OSError(28, "No space left on device")
            if path.stat().st_size:
                raise OSError(28, "No space left on device")
            return write(fd, data[:3])  # a part of a line fits
        return write(fd, data)

    monkeypatch.setattr(os, "write", limited)
    writer = start(str(path))
    writer.put(b"line 1")
    wait_until(lambda: failures)
    full.clear()
    writer.put(b"line 2")
    wait_until(lambda: path.read_bytes().endswith(b"line 2\n"))
    assert path.read_bytes() == b"lin\nline 1\nline 2\n", "the torn line stands alone"


def test_many_writers_append_whole_lines_to_one_file(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "log"
    writers = [start(str(path)) for _ in range(4)]
    for n in range(2000):
        for number, writer in enumerate(writers):
            writer.put(b"%d:" % number + b"x" * (n % 300))
    assert [writer.close(30) for writer in writers] == [0] * 4
    lines = path.read_bytes().splitlines()
    for number in range(4):
        own = [line for line in lines if line.startswith(b"%d:" % number)]
        assert own == [b"%d:" % number + b"x" * (n % 300) for n in range(2000)]


def test_a_pipe_that_nobody_reads_holds_up_nobody(start: Start) -> None:
    reader, end = os.pipe()
    writer = start(end)
    try:
        assert all(writer.put(b"x" * 999) for _ in range(1000))
        assert writer.close(0.2) > 0
        read = 0
        while read < 1000 * 1000:
            read += len(os.read(reader, 65536))
    finally:
        os.close(end)
        os.close(reader)
