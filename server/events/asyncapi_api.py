"""The AsyncAPI document over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response, request

from server.events.asyncapi import Known, bodies_of, document
from server.events.routes import routes_version
from server.store.values import write_json
from server.web import current
from server.web.permissions import requires

if TYPE_CHECKING:
    from server.store import Store, Tx
    from server.web.room import Room

_READ = """
SELECT kind, body FROM definitions
WHERE workspace_id = :workspace_id AND kind IN ('EventType', 'Webhook', 'Integration') AND removed_at IS NULL
ORDER BY kind, name LIMIT 20000
"""
_MOST_KEPT = 200


def add(room: Room, store: Store) -> None:
    """Add the route. Documents are kept by workspace, version of its routes, and the address asked at."""
    kept: dict[tuple[int, int, str], bytes] = {}

    @room.route("/api/v1/asyncapi.json")
    @requires("events:read")
    @room.response(200)
    @room.doc(responses=_ANSWERS)
    def get_asyncapi() -> Response:
        """Read the AsyncAPI 3 document of the workspace.

        It has a channel for each event type, outbound webhook and inbound endpoint, with the schemas and examples of the catalogue.
        """
        with store.begin(current.scope(), current.cause()) as tx:
            version = routes_version(tx)
            key = (tx.scope.workspace_id, version, request.host_url)
            body = kept.get(key)
            if body is None:
                body = write_json(document(_known(tx, version), request.host, request.scheme)).encode()
                if len(kept) >= _MOST_KEPT:
                    kept.clear()
                kept[key] = body
        response = Response(body, content_type="application/json")
        response.set_etag(str(version))
        response.make_conditional(request)
        return response


def _known(tx: Tx, version: int) -> Known:
    rows = tx.all(_READ)
    integrations = {str(body["name"]): body for body in bodies_of(rows, "Integration")}
    return Known(
        tx.scope.organization,
        tx.scope.workspace,
        version,
        bodies_of(rows, "EventType"),
        bodies_of(rows, "Webhook"),
        integrations,
    )


_ANSWERS: dict[str, Any] = {
    "200": {
        "description": "The document.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["asyncapi", "info", "channels", "operations"],
                    "properties": {"asyncapi": {"const": "3.0.0"}},
                }
            }
        },
    }
}
