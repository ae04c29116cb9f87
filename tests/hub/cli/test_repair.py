"""`homeport repair` at a Redis that cannot be used: where it is, and why."""

from __future__ import annotations

from pathlib import Path

from tests.support.ports import free_port
from tests.support.programs import Homeport
from tests.support.redis_servers import RedisServer, running


def test_a_redis_that_cannot_be_reached_is_named_with_the_reason(
    homeport: Homeport, tmp_path: Path
) -> None:
    port = free_port()
    for url, shown, reason in (
        (
            f"redis://hub:s3cret@127.0.0.1:{port}/3",
            f"redis://[redacted]@127.0.0.1:{port}/3",
            "connection refused",
        ),
        (f"unix://{tmp_path}/none", f"unix://{tmp_path}/none", "no such socket"),
        (f"redis+cluster://127.0.0.1:{port}", f"redis+cluster://127.0.0.1:{port}", "refused"),
    ):
        done = homeport.run("repair", "--redis", url)
        assert (done.returncode, done.stdout) == (1, "")
        said = f"homeport: Redis at {shown} cannot be used: Redis cannot be reached: "
        assert done.stderr.startswith(said)
        assert done.stderr.endswith(f"{reason}.\n")


def test_a_database_that_redis_does_not_have_is_told_as_such(homeport: Homeport) -> None:
    with running(RedisServer()) as server:
        done = homeport.run("repair", "--redis", f"{server.url}?db=99")
    assert done.returncode == 1
    assert "?db=99 cannot be used: Redis has no database of this number" in done.stderr


def test_a_file_is_no_data_directory(homeport: Homeport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = homeport.run("repair", "--data-dir", str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"homeport: there is no data directory {tmp_path}/file: it is a file.\n"
