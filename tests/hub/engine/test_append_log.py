"""The append-only files: what of them is whole, and what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.engine.append_log import FOLDER, MANIFEST, AppendLog, ManifestError, Scan, scan


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


SET = command(b"SET", b"key", b"a value\r\n*3\r\n")
NOTE = b"#TS:1700000000\r\n"
TRANSACTION = command(b"MULTI") + SET + SET + command(b"EXEC")


def scanned(tmp_path: Path, data: bytes) -> Scan:
    (tmp_path / "aof").write_bytes(data)
    return scan(tmp_path / "aof")


def test_whole_commands_are_all_of_it(tmp_path: Path) -> None:
    data = NOTE + SET + TRANSACTION + SET
    assert scanned(tmp_path, data) == Scan(len(data), 6, True)
    assert scanned(tmp_path, b"") == Scan(0, 0, True)


@given(cut=st.integers(0, len(NOTE + SET + TRANSACTION + SET)))
@settings(max_examples=300)
def test_a_cut_ends_after_the_last_whole_command_or_transaction(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut"
    data = NOTE + SET + TRANSACTION + SET
    path.write_bytes(data[:cut])
    ends = [0, len(NOTE), len(NOTE + SET), len(NOTE + SET + TRANSACTION), len(data)]
    end = max(each for each in ends if each <= cut)
    found = scan(path)
    assert found.end == end
    assert found.complete == (cut in ends)


@pytest.mark.parametrize(
    "junk", [b"\0" * 50, b"*", b"*-1\r\n", b"*1\r\n$-1\r\n", b"*99999999999999\r\n", b"hello\r\n"]
)
def test_what_is_no_command_ends_it(tmp_path: Path, junk: bytes) -> None:
    assert scanned(tmp_path, SET + junk + SET) == Scan(len(SET), 1, False)


def log_in(tmp_path: Path, manifest: str | None, *files: str) -> AppendLog:
    (tmp_path / FOLDER).mkdir()
    if manifest is not None:
        (tmp_path / FOLDER / MANIFEST).write_text(manifest)
    for name in files:
        (tmp_path / FOLDER / name).write_bytes(SET)
    return AppendLog(tmp_path)


BASE, FIRST, SECOND = (
    "appendonly.aof.2.base.rdb",
    "appendonly.aof.2.incr.aof",
    "appendonly.aof.3.incr.aof",
)
LISTED = f"file {BASE} seq 2 type b\nfile {FIRST} seq 2 type i\nfile {SECOND} seq 3 type i\n"


def test_what_the_manifest_lists_must_be_there(tmp_path: Path) -> None:
    log = log_in(tmp_path, LISTED, BASE, FIRST, SECOND)
    assert [file.name for file in log.files()] == [BASE, FIRST, SECOND]
    assert log.problem() is None
    (log.folder / FIRST).unlink()
    assert log.problem() == f"{FIRST} is missing from {FOLDER}"


@pytest.mark.parametrize("manifest", [None, "", "file x\n", LISTED + "nonsense\n", LISTED[:-30]])
def test_a_manifest_that_is_not_whole_is_a_problem(tmp_path: Path, manifest: str | None) -> None:
    log = log_in(tmp_path, manifest, BASE, FIRST)
    with pytest.raises(ManifestError):
        log.files()
    assert "the manifest is" in str(log.problem())


def test_a_new_directory_has_no_problem_and_one_that_had_data_has(tmp_path: Path) -> None:
    log = AppendLog(tmp_path)
    assert log.problem() is None
    assert log.remembered() is None
    log.remember()
    assert log.problem() == f"its append-only files ({FOLDER}) are missing"


def test_a_file_that_was_longer_or_newer_is_told(tmp_path: Path) -> None:
    log = log_in(tmp_path, LISTED, BASE, FIRST, SECOND)
    log.remember()
    assert log.shortened() == []
    with (log.folder / SECOND).open("ab") as file:
        file.write(SET)
    assert log.shortened() == []
    (log.folder / SECOND).write_bytes(SET[:-3])
    assert log.shortened() == [f"{SECOND} is 3 bytes shorter than it was"]
    log.manifest.write_text(LISTED.replace(f"file {SECOND} seq 3 type i\n", ""))
    assert log.shortened() == ["its files are older than those that were there (2 of 3)"]
