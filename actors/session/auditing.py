"""What the audit log is told of a session's requests."""

from __future__ import annotations

from typing import assert_never

from actors.agent.outcomes import Acknowledged, Lease, Outcome
from actors.ports.audit import REFUSALS, Audited, AuditedAct
from actors.rules.permissions import Principal
from actors.session.acts import ACTS
from homeport_protocol.errors import ProtocolError
from homeport_protocol.requests import (
    AcknowledgeLoss,
    Get,
    Register,
    Remove,
    Request,
    Resume,
    Unregister,
)


def audited(
    request: Request, outcome: Outcome, principal: Principal, address: str, agent_id: str | None
) -> Audited | None:
    """The act for the audit log; None for one that it does not tell of.

    It tells of what begins or ends a session of an agent, or is an operator's, once it is done or
    may have been; and of all that is refused because of who asks. `agent_id` is the session's.
    """
    act = ACTS[type(request)]
    if act is None:
        return None
    name = request.agent.name if isinstance(request, Register) else ""
    if isinstance(request, Register | Resume | Remove | Get) and isinstance(request.agent_id, str):
        agent_id = request.agent_id
    what: AuditedAct = "resume" if isinstance(request, Resume) else act
    match outcome:
        case Lease():
            return Audited(
                what="take_over" if outcome.took_over else what,
                principal=principal.id,
                address=address,
                agent_id=outcome.agent_id,
                name=name,
                epoch=outcome.epoch,
                revision=outcome.revision,
            )
        case Acknowledged():
            if not isinstance(request, Unregister | Remove | AcknowledgeLoss):
                return None
            result, revision = "ok", outcome.revision
        case ProtocolError():
            if outcome.code in REFUSALS:
                result, revision = outcome.code, 0
            elif outcome.outcome == "unknown" and act in ("register", "end", "remove"):
                result, revision = "unknown", 0
            else:
                return None
        case _:
            assert_never(outcome)
    return Audited(
        what=what,
        outcome=result,
        principal=principal.id,
        address=address,
        agent_id=agent_id or "",
        name=name,
        revision=revision,
    )
