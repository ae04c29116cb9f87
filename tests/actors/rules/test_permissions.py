"""The table of permissions, against that of the contract (section 8)."""

from __future__ import annotations

import pytest

from actors.rules.permissions import (
    ANYBODY,
    MAY,
    NOBODY,
    Act,
    Principal,
    check,
    check_name,
    check_owner,
)
from homeport_protocol.bounds import Role
from homeport_protocol.errors import ProtocolError

CONTRACT: dict[Role, set[Act]] = {
    "agent": {"read", "call", "register", "change", "end"},
    "observer": {"read", "watch"},
    "caller": {"read", "watch", "pick", "call"},
    "operator": set(MAY),
}


@pytest.mark.parametrize("role", CONTRACT)
@pytest.mark.parametrize("act", MAY)
def test_a_role_may_what_the_contract_says(role: Role, act: Act) -> None:
    principal = Principal(id="token:a", role=role)
    if act in CONTRACT[role]:
        check(principal, act)
        return
    with pytest.raises(ProtocolError, match="may not") as refused:
        check(principal, act)
    assert refused.value.code == "forbidden"
    assert '"operator"' in refused.value.message  # a role that may


def test_where_nobody_is_asked_anybody_may_do_everything() -> None:
    for act in MAY:
        check(ANYBODY, act)
    check_name(ANYBODY, "any name")
    check_owner(ANYBODY, "token:a", "any name")


def test_a_glob_in_another_form_of_unicode_is_that_of_the_names() -> None:
    agent = Principal(id="token:a", role="agent", names=("Zu\u0308rich-*",))
    check_name(agent, "Zürich-1")  # every name is in this form
    with pytest.raises(ProtocolError):
        check_name(agent, "Zurich-1")


def test_names_are_globs_over_the_whole_name_and_case_counts() -> None:
    principal = Principal(id="token:a", role="agent", names=("cost-*", "spot"))
    check_name(principal, "cost-1")
    check_name(principal, "spot")
    for name in ("Cost-1", "my-cost-1", "spot-1"):
        with pytest.raises(ProtocolError, match=r"cost-\*, spot"):
            check_name(principal, name)


def test_an_agent_belongs_to_one_principal_and_one_of_nobody_may_be_taken() -> None:
    principal = Principal(id="token:a", role="agent", names=("cost-*",))
    check_owner(principal, "token:a", "spot-1")
    check_owner(principal, NOBODY, "cost-1")
    for owner, name in (("token:b", "cost-1"), (NOBODY, "spot-1"), ("jwt:a", "cost-1")):
        with pytest.raises(ProtocolError, match="another principal"):
            check_owner(principal, owner, name)
    check_owner(Principal(id="token:c", role="operator"), "token:b", "spot-1")
