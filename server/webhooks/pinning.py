"""The payload of an earlier version of a webhook's definition: what a replay of the original needs.

The payload, and whether there is one at all, are those of then (`map`, `when`); where it goes, how it is signed and how often it is
tried are those of now. The journal keeps every definition that a webhook has had.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, code
from server.webhooks.outbound import webhook_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from server.store import Tx
    from server.webhooks.outbound import OutboundWebhook

VERSION_MISSING = code(
    "VERSION_MISSING", "The definition that made the original payload is not kept; replay it with `payload: current`."
)
Pin = tuple["UUID", "int | None"]
_BODIES = """
SELECT j.aggregate_id, k.version, j.data
FROM unnest(CAST(:webhooks AS uuid[]), CAST(:versions AS int[])) AS k(webhook, version)
JOIN journal j ON j.workspace_id = :workspace_id AND j.aggregate_id = k.webhook
  AND j.type IN ('crossdock.webhook.created', 'crossdock.webhook.changed')
  AND CAST(j.data ->> 'definition_version' AS int) = k.version
ORDER BY j.version
"""


def bodies(tx: Tx, wanted: Collection[Pin]) -> dict[Pin, Mapping[str, Any]]:
    """Return the definitions that webhooks had at these versions; those that are not kept, or None, are missing."""
    pins = [(webhook, version) for webhook, version in wanted if version is not None]
    if not pins:
        return {}
    rows = tx.all(_BODIES, webhooks=[webhook for webhook, _ in pins], versions=[version for _, version in pins])
    return {(row.aggregate_id, row.version): row.data["body"] for row in rows}


def pinned(webhook: OutboundWebhook, body: Mapping[str, Any] | None) -> OutboundWebhook:
    """Return the webhook with the payload of an earlier definition.

    Raises:
        Permanent: VERSION_MISSING.

    """
    if body is None:
        raise Permanent("the definition of the original payload is not kept", code=VERSION_MISSING, source="delivery")
    then = webhook_of(body)
    return replace(webhook, map=then.map, when=then.when)
