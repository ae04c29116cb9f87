"""Times that cannot work are refused wherever they are made, and those that flap are told."""

from __future__ import annotations

import pytest

from actors.timing import ImpossibleTimesError, Timing


@pytest.mark.parametrize(
    ("interval", "timeout", "lease_ttl", "names"),
    [
        (30.0, 30.0, 60.0, ("heartbeat_timeout", "heartbeat_interval")),
        (30.0, 29.0, 60.0, ("heartbeat_timeout", "heartbeat_interval")),
        (30.0, 45.0, 44.9, ("lease_ttl", "heartbeat_timeout")),
    ],
)
def test_impossible_times_name_both_settings_and_their_values(
    interval: float, timeout: float, lease_ttl: float, names: tuple[str, str]
) -> None:
    with pytest.raises(ImpossibleTimesError) as caught:
        Timing(heartbeat_interval=interval, heartbeat_timeout=timeout, lease_ttl=lease_ttl)
    sentence = str(caught.value)
    assert caught.value.names == names
    assert "\n" not in sentence
    values = {
        "heartbeat_interval": interval,
        "heartbeat_timeout": timeout,
        "lease_ttl": lease_ttl,
    }
    for name in names:
        assert f"{name} ({values[name]:g} s)" in sentence


def test_a_lease_may_be_as_long_as_the_timeout() -> None:
    assert Timing(heartbeat_timeout=60.0, lease_ttl=60.0).warning is None


@pytest.mark.parametrize(("timeout", "warned"), [(31.0, True), (44.9, True), (45.0, False)])
def test_a_timeout_below_one_and_a_half_intervals_is_warned_of(
    timeout: float, warned: bool
) -> None:
    assert (Timing(heartbeat_timeout=timeout).warning is not None) is warned
