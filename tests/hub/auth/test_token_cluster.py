"""Tokens in a Redis Cluster: all of them are one key, and so at one node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from homeport_protocol.tokens import TokenRequest
from hub.auth.administration import TokenAdministration
from hub.auth.evidence import Evidence
from hub.auth.refusals import Unauthorized
from hub.auth.token_store import TokenStore
from hub.auth.tokens import Tokens
from hub.store import connect
from tests.support.redis_servers import running
from tests.support.topologies import ClusterSetup


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSetup]:
    with running(ClusterSetup()) as setup:
        yield setup


@pytest.mark.parametrize("prefix", ["", "one:", "{two}:"])
async def test_all_of_a_token_lies_at_one_node_of_a_cluster(
    cluster: ClusterSetup, prefix: str
) -> None:
    backend = await connect(cluster.url, hub_id="tests")
    stores = [TokenStore(backend, prefix, timeout=10.0) for _ in range(2)]
    hub = Tokens(stores[0])
    await hub.start()
    administration = TokenAdministration(stores[1])
    made = await administration.create(TokenRequest(role="agent", uses=1))
    shown = Evidence(credential=made.token)
    principal = await hub.look_up(shown)
    assert (principal.id, principal.limited) == (f"token:{made.id}", True)
    assert await stores[1].take_use(made.id, "abc")
    assert [each.id for each in await administration.all()] == [made.id]
    await administration.revoke(made.id)
    await hub.refresh()
    with pytest.raises(Unauthorized):
        hub.recognise(shown)
    await hub.close()
    await stores[1].close()
    await backend.aclose()
