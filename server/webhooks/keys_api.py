"""The public halves of the keys that sign a webhook, over HTTP: what its receivers verify `v1a` with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields

from server.kernel.errors import Conflict, Invalid, Retryable
from server.sdk.signing import public_keys
from server.web import current, paging
from server.web.permissions import requires
from server.web.room import Out, Room
from server.webhooks.outbound import webhook_of
from server.webhooks.signing import of_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.access.secrets import Secrets
    from server.store import Store
    from server.store.repository import Repository
    from server.webhooks.aggregate import Webhook


class PublicKeySchema(Out):
    """One key that verifies."""

    key = fields.String(required=True, metadata={"description": "`whpk_…`, for a library of Standard Webhooks."})
    secret = fields.String(required=True, metadata={"description": "The name of the secret with its private half."})


def blueprint(store: Store, webhooks: Repository[Webhook], secrets: Secrets) -> Room:
    """Make the room of public keys."""
    room = Room("public-keys", description="The keys with which receivers verify asymmetric signatures.")

    @room.route("/api/v1/webhooks/<name>/public-keys")
    @requires("definitions:read")
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, paging.page_of(PublicKeySchema))
    def list_public_keys(query: dict[str, Any], name: str) -> dict[str, Any]:
        """List the public half of every key that signs a webhook now, the newest first; during an overlap the older, too."""
        position = paging.after(query, "public-keys", int)
        with store.begin(current.scope(), current.cause()) as tx:
            names = webhook_of(webhooks.get(tx, name).body).sign_secrets
            try:
                found = secrets.resolve_many(tx, set(names)) if names else {}
                items = [{"key": key, "secret": each} for each in names for key in _public(each, found[each])]
            except (Retryable, Invalid) as error:
                # It is for the workspace to set the secret right: nothing is wrong with the request, nor with us.
                raise Conflict(error.message, code=error.code, source=error.source, **error.details) from error
        start = int(position[0]) + 1 if position else 0
        rows = list(enumerate(items))[start : start + query["limit"] + 1]
        return paging.page(rows, query["limit"], "public-keys", lambda row: [row[0]], lambda row: row[1])

    return room


def _public(name: str, values: Sequence[str]) -> Sequence[str]:
    try:
        return public_keys(values)
    except Invalid as error:
        raise of_secrets(error, [name]) from error
