"""A phrase names the store as its operator knows it."""

from __future__ import annotations

import pytest

from hub.store.backends.failures import _PHRASES
from hub.store.names import EMBEDDED, REDIS, named


@pytest.mark.parametrize("phrase", _PHRASES.values())
def test_no_phrase_about_the_embedded_store_speaks_of_redis_servers(phrase: str) -> None:
    assert named(phrase, REDIS) == phrase
    if "Cluster" not in phrase and "--redis" not in phrase:
        assert "redis" not in named(phrase, EMBEDDED).lower().replace("permissions in", "")


def test_articles_fit() -> None:
    assert named("the Redis key a holds no record", EMBEDDED) == (
        "the embedded store's key a holds no record"
    )
    assert named("a Redis key holds another type", EMBEDDED) == (
        "a key of the embedded store holds another type"
    )
    assert named("Redis does not answer in time", EMBEDDED) == (
        "the embedded store does not answer in time"
    )
