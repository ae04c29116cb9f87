"""Which settings a running hub takes over, and which need a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from hub.settings import FIELDS, Settings, SettingsError, Source, compare

CURRENT = Settings(hub_id="h", data_dir="/d")


def test_what_applies_at_once_is_taken_over_and_the_rest_is_named() -> None:
    given = structs.replace(CURRENT, log_level="debug", max_rate=7, lease_ttl=90.0, port=1)
    reloaded = compare(CURRENT, given)
    assert reloaded.settings == structs.replace(CURRENT, log_level="debug", max_rate=7)
    assert reloaded.changed == ["log_level", "max_rate"]
    assert reloaded.need_restart == ["port", "lease_ttl"]


def test_nothing_new_changes_nothing() -> None:
    assert compare(CURRENT, CURRENT) == compare(CURRENT, structs.replace(CURRENT))
    assert compare(CURRENT, CURRENT).settings == CURRENT


def test_what_a_cluster_or_a_store_was_told_never_changes_under_it() -> None:
    told = {"hub_id", "redis", "data_dir", "key_prefix", "port", "host", "workers", "lease_ttl"}
    told |= {"heartbeat_interval", "heartbeat_timeout", "resume_window", "log_length"}
    assert not [name for name in told if FIELDS[name].reloads]


def test_a_source_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text("max_rate = 1\n")
    source = Source({"log_level": "debug"}, str(file))
    assert (source.load().max_rate, source.load().log_level) == (1, "debug")
    file.write_text("max_rate = 2\nlog_level = 'error'\n")
    assert (source.load().max_rate, source.load().log_level) == (2, "debug")
    file.write_text("max_rate = ")
    with pytest.raises(SettingsError, match="not valid TOML"):
        source.load()
