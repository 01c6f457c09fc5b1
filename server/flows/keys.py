"""The idempotency key of a run, worked out of what starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.flows.waits import canonical
from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.flows.flow import Flow

FLOW_KEY = code(
    "FLOW_KEY", "`idempotency_key` of a flow gives neither a text nor a number for this event, or one that is too long."
)
_LONGEST_KEY = 500


def key_of(flow: Flow, scope: Mapping[str, Any]) -> str | None:
    """Return the idempotency key of a run that begins with `event` and `data`; None is null: such runs are not compared.

    Raises:
        EvaluationError: the expression cannot be evaluated.
        Permanent: FLOW_KEY.

    """
    value = flow.idempotency_key.run(scope) if flow.idempotency_key is not None else None
    if value is None:
        return None
    key = value if isinstance(value, str) else canonical(value) or ""
    if isinstance(value, bool | list | dict) or not key or len(key) > _LONGEST_KEY:
        message = f"an idempotency key is a text of 1 to {_LONGEST_KEY} characters, or a number"
        raise Permanent(message, code=FLOW_KEY, source="flow", flow=flow.name)
    return key
