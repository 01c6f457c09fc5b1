"""Where expressions stand, and the names that they may start with there. Inside `each` and `for_each` `item` comes to them."""

from __future__ import annotations

_FLOW = frozenset(("event", "data", "steps", "run"))
ITEM = "item"
_IN_FLOWS: dict[str, frozenset[str]] = {
    "flow": _FLOW,
    "flow_undo": _FLOW | {"result"},
    "flow_error": _FLOW | {"error"},
    "flow_wait_for": _FLOW | {"arrived"},
}
PLACES: dict[str, frozenset[str]] = {
    "event_type": frozenset(("event", "data")),
    "outbound_webhook": frozenset(("event", "data")),
    "inbound_webhook": frozenset(("request", "headers", "params", "body")),
    "inbound_webhook_item": frozenset(("request", "headers", "params", "body", "item")),
    "inbound_webhook_answer": frozenset(("request", "headers", "params", "body", "events")),
    "sync_job": frozenset(("row", "run")),
    "sync_job_on_event": frozenset(("event", "data")),
    "integration_fallback": frozenset(("input", "operation", "error")),
    "flow_start": frozenset(("event", "data")),
    **_IN_FLOWS,
    **{f"{name}_item": roots | {ITEM} for name, roots in _IN_FLOWS.items()},
}
