"""From a verified request to what is stored of it: unpacked, parsed, with its dedupe key. Pure but for the id that it gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.clock import rfc3339
from server.kernel.errors import NotFound, Unsupported
from server.kernel.ids import new_uuid, show
from server.webhooks.inbound.answers import headers_of
from server.webhooks.inbound.deduping import key_of
from server.webhooks.inbound.parsing import format_of, media_type, parse, takes
from server.webhooks.inbound.routes import NO_ENDPOINT_HERE
from server.webhooks.inbound.seeing import ID_PREFIX, kept_headers, kept_query, scope_of
from server.webhooks.inbound.storing import Asked
from server.webhooks.inbound.unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from server.events.hops import Hop
    from server.webhooks.inbound.arrived import Arrived, Verified
    from server.webhooks.inbound.directory import Table
    from server.webhooks.inbound.endpoint import InboundWebhook
    from server.webhooks.inbound.routes import Endpoint

_LONGEST_ID = 512


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was verified, with the parameters of its path and the moment at which it came."""

    arrived: Arrived
    params: Mapping[str, str]
    verified: Verified
    hop: Hop
    at: datetime


def taken(table: Table, endpoint: Endpoint, request: Taken, limit: int) -> Asked:
    """Return what is stored of a request; `limit` is in bytes, for its body when it is unpacked.

    Raises:
        Unsupported: another content type or encoding than the endpoint takes.
        Malformed: its body is not what it claims to be.
        TooLarge: unpacked it is larger than `limit`.
        Invalid: DEDUPE_FAILED.

    """
    webhook, scope, arrived = endpoint.webhook, table.scope, request.arrived
    if scope is None:
        raise NotFound(NO_ENDPOINT_HERE, source="inbound")
    encoding = arrived.headers.get("content-encoding", "")
    body = unpacked(arrived.body, encoding, limit, allowed=webhook.decompress)
    parsed = _parsed(webhook, arrived.headers.get("content-type", ""), body)
    identity = new_uuid()
    headers = kept_headers(arrived.headers, endpoint.proof)
    query = kept_query(arrived.query, endpoint.proof_query)
    key = _own_key(webhook, identity, request, (query, headers, parsed)) or _default_key(request.verified)
    answering = webhook.answer
    mapped_now = webhook.sync and not endpoint.held
    return Asked(
        id=identity,
        workspace_id=scope.workspace_id,
        webhook_id=endpoint.webhook_id,
        definition_version=endpoint.definition_version,
        routes=table.routes_version,
        secrets=table.secrets_version,
        held=endpoint.held,
        sync=mapped_now,
        priority=webhook.priority,
        received_at=rfc3339(request.at),
        method=arrived.method,
        path=arrived.path,
        query=query,
        params=request.params,
        headers=headers,
        body=body,
        message_id=request.verified.message_id[:_LONGEST_ID],
        client=arrived.client,
        hops=request.hop.hops,
        correlation_id=request.hop.correlation_id or show(ID_PREFIX, identity),
        key=None if key is None else hashlib.sha256(key).hexdigest(),
        ttl=webhook.ttl,
        status=None if mapped_now or (answering.plain and not webhook.sync) else answering.status,
        answer_headers=None if answering.plain else headers_of(answering),
        answer_body=None if answering.plain else answering.body,
    )


def _parsed(webhook: InboundWebhook, content_type: str, body: bytes) -> Any:
    given = media_type(content_type)
    if not body:
        return None
    if given and not takes(webhook.content_types, given):
        raise Unsupported(
            f"this endpoint takes {', '.join(webhook.content_types)}",
            source="inbound",
            taken=list(webhook.content_types),
        )
    return parse(body, format_of(webhook.format, given or webhook.content_types[0]), content_type)


def _own_key(
    webhook: InboundWebhook, identity: UUID, request: Taken, kept: tuple[str, Mapping[str, str], Any]
) -> bytes | None:
    """Return the key that the definition asks for, of a request of which query, headers and parsed body are kept."""
    if webhook.key is None:
        return None
    query, headers, body = kept
    seen = scope_of(
        request_id=identity,
        received_at=request.at,
        method=request.arrived.method,
        path=request.arrived.path,
        query=query,
        client=request.arrived.client,
        params=request.params,
        headers=headers,
        body=body,
    )
    return key_of(webhook, seen)


def _default_key(verified: Verified) -> bytes | None:
    # what is proved goes before a name that nobody signed: a replay could bring a new one
    if verified.replay_key is not None:
        return b"r:" + verified.replay_key.encode("utf-8", "surrogatepass")
    return b"m:" + verified.message_id.encode("utf-8", "surrogatepass") if verified.message_id else None
