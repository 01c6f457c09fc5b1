"""Where expressions stand, and the names that they may start with there. Inside `each` and `for_each` `item` comes to them."""

from __future__ import annotations

PLACES: dict[str, frozenset[str]] = {
    "event_type": frozenset(("event", "data")),
    "outbound_webhook": frozenset(("event", "data")),
    "inbound_webhook": frozenset(("request", "headers", "params", "body")),
    "inbound_webhook_item": frozenset(("request", "headers", "params", "body", "item")),
    "inbound_webhook_answer": frozenset(("request", "headers", "params", "body", "events")),
    "sync_job": frozenset(("row", "run")),
    "sync_job_on_event": frozenset(("event", "data")),
    "flow": frozenset(("event", "data", "steps", "run")),
    "flow_undo": frozenset(("event", "data", "steps", "run", "result")),
    "integration_fallback": frozenset(("input", "operation", "error")),
    "flow_wait_for": frozenset(("event", "data", "steps", "run", "arrived")),
}
ITEM = "item"
