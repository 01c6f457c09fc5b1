"""From a webhook and an event to the request: pure, and the very same for deliveries, `test` and previews."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from server.events.envelope import from_json, to_json
from server.events.upcasting import STANDING
from server.kernel.clock import rfc3339
from server.kernel.errors import Permanent, code
from server.mapping.values import truthy
from server.transport.headers import vet_headers

if TYPE_CHECKING:
    from server.events.envelope import Event
    from server.events.upcasting import Ladder
    from server.webhooks.outbound import OutboundWebhook

RENDERED_REFUSED = code("RENDERED_REFUSED", "What the map or a template made of this event cannot be sent.")
_CONTENT_TYPE = "content-type"
_JSON = "application/json"
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?=/|\?|$)")
_LONGEST_PATH = 2048
_LONGEST_KEY = 512


@dataclass(slots=True)
class Rendered:
    """A request without its signature. `path` begins with the endpoint's base path; `body` is what is signed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON values; numbers with a fraction are Decimal."""
        return from_json(self.body)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing is sent: `when` did not hold, or the event is of a newer `version` than the webhook asks for."""

    reason: str = "when"


def render(
    webhook: OutboundWebhook, event: Event, endpoint_base_path: str, ladder: Ladder = STANDING
) -> Rendered | Skipped:
    """Return the request that the event, in the version that the webhook asks for, makes of the webhook, or that it is skipped.

    Raises:
        EvaluationError: an expression failed on this event; its details name the expression, position and value.
        Permanent: RENDERED_REFUSED or REQUEST_REFUSED, the result cannot be sent.

    """
    event = asked_for(webhook, event, ladder)
    if _newer(webhook, event):
        return Skipped("version")
    compiled = webhook.compiled
    scope: dict[str, Any] = {}
    if compiled.reads_anything:
        scope = {"event": event.view(), "data": from_json(event.data)}
    if compiled.when is not None and not truthy(compiled.when.run(scope)):
        return Skipped()
    path = compiled.path.run(scope, escape=_percent) if compiled.path else ""
    headers = {name: template.run(scope) for name, template in compiled.headers.items()}
    vet_headers(headers)
    if not any(name.lower() == _CONTENT_TYPE for name in headers):
        headers["Content-Type"] = _JSON
    body = _json(compiled.map.run(scope)) if compiled.map is not None else standard_payload(event)
    return Rendered(webhook.method, join_path(endpoint_base_path, path), headers, body)


def standard_payload(event: Event) -> bytes:
    """Return the Standard Webhooks payload; the data's text goes in as it came, so every digit is kept."""
    head = orjson.dumps({"type": event.type, "timestamp": rfc3339(event.time)})
    return head[:-1] + b',"data":' + event.data.encode() + b"}"


def asked_for(webhook: OutboundWebhook, event: Event, ladder: Ladder) -> Event:
    """Return the event as the newest version of its type has it, or as the one that the webhook asks for (`order.created@1`)."""
    return ladder.lift(event, webhook.pins.get(event.type))


def _newer(webhook: OutboundWebhook, event: Event) -> bool:
    pin = webhook.pins.get(event.type) if webhook.pins else None
    return pin is not None and event.schema_version is not None and event.schema_version > pin


def order_key(webhook: OutboundWebhook, event: Event, ladder: Ladder = STANDING) -> str | None:
    """Return the key by which the webhook orders this event, or None when it is unordered.

    Raises:
        EvaluationError: the expression failed on this event.

    """
    expression = webhook.compiled.order_by
    if expression is None:
        return None
    event = asked_for(webhook, event, ladder)
    value = expression.run({"event": event.view(), "data": from_json(event.data)})
    return None if value is None else _indexable(value if isinstance(value, str) else to_json(value))


def _indexable(key: str) -> str:
    """Return a key that the database can keep and index: a long one, or one with signs that it has not, by its hash."""
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST_KEY and "\x00" not in key and raw == key.encode("utf-8", "replace"):
        return key
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def join_path(base: str, path: str) -> str:
    """Append a path to a base path: `/api` and `/hooks` make `/api/hooks`.

    Raises:
        Permanent: RENDERED_REFUSED, a step out of the base (`..`), a sign that no path holds, or too long.

    """
    joined = base.rstrip("/") + (path if path.startswith(("/", "?")) or not path else f"/{path}")
    bare = joined.partition("?")[0]
    if (
        _DOTS.search(bare)
        or len(joined) > _LONGEST_PATH
        or not joined.isascii()
        or not joined.isprintable()
        or " " in joined
    ):
        raise Permanent("the path leads elsewhere or cannot be sent", code=RENDERED_REFUSED, source="mapping")
    return joined or "/"


def _percent(value: str) -> str:
    """Write a value so that it stays one piece of the path, whatever it holds."""
    return quote(value, safe="")


def _json(value: Any) -> bytes:
    try:
        return to_json(value).encode()
    except TypeError as error:  # orjson: a number past 64 bits, or half of a surrogate pair
        raise Permanent(
            f"the map made what JSON cannot hold: {error}", code=RENDERED_REFUSED, source="mapping"
        ) from error
