"""The dedupe key that a definition asks for: the same bytes whether a sender brings a request or a sync job does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from server.events.envelope import to_json
from server.kernel.errors import Invalid, code
from server.mapping import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.webhooks.inbound.endpoint import InboundWebhook

DEDUPE_FAILED = code(
    "DEDUPE_FAILED", "The dedupe key of the definition cannot be computed for this request, so it is not taken."
)


def key_of(webhook: InboundWebhook, scope: Mapping[str, Any]) -> bytes | None:
    """Return the key that the definition asks for; None where it asks for none, or the request has none.

    Raises:
        Invalid: DEDUPE_FAILED.

    """
    if webhook.key is None:
        return None
    try:
        value = webhook.key.run(scope)
    except EvaluationError as error:
        raise Invalid(
            "the dedupe key cannot be computed", code=DEDUPE_FAILED, source="inbound", reason=error.failure.message
        ) from error
    return None if value is None else b"k:" + _written(value)


def _written(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    try:
        return to_json(value).encode()
    except (TypeError, orjson.JSONEncodeError):  # half of a surrogate pair inside
        return json.dumps(value, default=str, sort_keys=True).encode()
