"""Every route of the application, read from its URL map: what the generated tests go over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.web.permissions import declaration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """One method of one path. `needs` is the permission that it declares, or `known`, or `public`."""

    method: str
    rule: str
    endpoint: str
    needs: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.rule}"

    @property
    def view(self) -> str:
        return self.endpoint.rpartition(".")[2]

    @property
    def room(self) -> str:
        """The noun: `webhooks` of /api/v1/webhooks/<name>."""
        return (self.rule.removeprefix("/api/v1/").split("/"))[0]

    @property
    def variables(self) -> list[str]:
        return _VARIABLE.findall(self.rule)

    @property
    def writes(self) -> bool:
        return self.method in WRITES

    @property
    def template(self) -> str:
        """The path as the OpenAPI document has it."""
        return _VARIABLE.sub(lambda found: f"{{{found[1]}}}", self.rule)

    def path(self, values: Mapping[str, str]) -> str:
        return _VARIABLE.sub(lambda found: values[found[1]], self.rule)


def routes(app: Flask) -> list[Route]:
    """Return every route of the REST API, in the order of their paths; pages are not of it."""
    found = [
        Route(method, rule.rule, rule.endpoint, declaration(app, rule.endpoint, method) or "")
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        if rule.rule.startswith("/api/")
    ]
    return sorted(found, key=lambda each: (each.rule, each.method))


HTTP_CONFIG = {"base_url": "https://shop.example.com/api"}
_WEBHOOK = {"direction": "outbound", "url": "https://shop.example.com/hooks", "events": ["order.created"]}
_SYNC_JOB = {
    "source": {"call": "shop.resource.list", "primary_key": ["id"]},
    "target": {"call": "shop.resource.write", "match_on": ["id"]},
}
_FLOW = {"steps": [{"id": "one", "set": {"a": 1}}]}
_FILES = {
    "files": [{"path": "i.yaml", "text": "kind: EventType\nname: made.here\nversion: 1\nschema: {type: object}\n"}]
}
BODIES: dict[str, Any] = {
    "publish": {"type": "order.created", "data": {"order_id": "SO-1"}},
    "trigger_webhook": {"payload": {"order_id": "SO-1"}},
    "create_inbound_request": {"payload": {"order_id": "SO-1"}},
    "retry_all": {"owner": "webhook/none"},
    "resolve_sync_conflict": {"fields": {"name": "source"}},
    "start_replay": {"filter": {"type": "order.*"}},
    "set_secret": {"name": "FRESH", "value": "v"},
    "put_secret": {"value": "v"},
    "rotate_secret": {"value": "v"},
    "create_token": {"name": "t", "role": "viewer"},
    "put_member": {"role": "viewer"},
    "create_workspace": {"name": "fresh"},
    "create_organization": {"name": "fresh"},
    "set_networks": {"networks": []},
    "call_integration": {"operation": "request.send", "input": {"method": "POST", "path": "/orders"}},
    "discover_integration": {},
    "check_definitions": _FILES,
    "test_definitions": _FILES,
    "plan_definitions": _FILES,
    "apply_definitions": _FILES,
    "rollback_definition": {"version": 1},
    "create_integration": {"name": "made", "plugin": "http", "config": HTTP_CONFIG},
    "replace_integration": {"name": "made", "plugin": "http", "config": HTTP_CONFIG},
    "create_webhook": {"name": "made", **_WEBHOOK},
    "replace_webhook": {"name": "made", **_WEBHOOK},
    "create_sync_job": {"name": "made", **_SYNC_JOB},
    "replace_sync_job": {"name": "made", **_SYNC_JOB},
    "start_sync_run": {},
    "create_flow": {"name": "made", **_FLOW},
    "replace_flow": {"name": "made", **_FLOW},
    "start_flow_run": {"data": {}},
    "cancel_flow_run": {},
    "retry_flow_run": {},
    "approve_flow_step": {},
    "reject_flow_step": {},
    "preview_sync_job": {"rows": 1},
    "reconcile_sync_job": {},
    "revert_sync_run": {},
    "preview_sync_revert": {},
    "create_event_type": {"name": "made.here", "version": 2, "schema": {"type": "object"}},
    "replace_event_type": {"name": "made.here", "version": 2, "schema": {"type": "object"}},
    **{
        f"{action}_{noun}": {"reason": "a test"}
        for action in ("pause", "resume", "activate", "disable")
        for noun in ("integration", "webhook", "sync_job", "flow")
    },
}
"""A body that each view with a body takes; a view that is not here takes none."""

NO_BODY = (
    "retry_delivery",
    "retry_dead_letter",
    "retry_inbound_request",
    "discard_dead_letter",
    "pause_replay",
    "resume_replay",
    "cancel_replay",
    "cancel_sync_run",
    "compensate_flow_run",
    "replay_sync_record",
    "delete_secret",
    "rewrap_secrets",
    "revoke_token",
    "remove_member",
    "test_integration",
    *(
        f"{action}_{noun}"
        for action in ("delete", "restore")
        for noun in ("integration", "webhook", "sync_job", "flow", "event_type")
    ),
)
"""The views of writes that take no body."""
