"""Stored requests as they are mapped: claimed rows, read back with their bodies, and the definitions that map them."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.hops import hop_of
from server.kernel.errors import CrossdockError, Permanent
from server.webhooks import pinning
from server.webhooks.inbound.answering import Answerer
from server.webhooks.inbound.emitting import Work
from server.webhooks.inbound.endpoint import inbound_of
from server.webhooks.inbound.mapping import Mapper
from server.webhooks.inbound.parsing import format_of, media_type, parse
from server.webhooks.inbound.seeing import scope_of
from server.webhooks.pinning import VERSION_MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.store import Scope, Tx
    from server.webhooks.inbound.endpoint import InboundWebhook

BATCH_BYTES = 16 * 1024 * 1024
_CACHED = 1000
Key = tuple[int, "UUID", int]

# As many as fit into memory, the oldest first and one at least; of the others only the id.
_LOAD = f"""
WITH k AS MATERIALIZED (
  SELECT r.id, sum(octet_length(r.body)) OVER (ORDER BY r.id) - octet_length(r.body) AS before
  FROM inbound_requests r WHERE r.id = ANY(%(ids)s::uuid[])
)
SELECT r.id, r.workspace_id, r.webhook_id, r.definition_version, r.state, r.round, r.received_at, r.method, r.path, r.query,
       r.params, r.headers, r.body, r.message_id, r.client, r.correlation_id, k.before,
       w.name AS webhook, w.state AS webhook_state, w.definition_version AS present_version,
       s.organization_id, s.name AS workspace, o.name AS organization
FROM inbound_requests r JOIN k ON k.id = r.id JOIN webhooks w ON w.id = r.webhook_id
JOIN workspaces s ON s.id = r.workspace_id JOIN organizations o ON o.id = s.organization_id
WHERE r.id = ANY(%(ids)s::uuid[]) AND k.before < {BATCH_BYTES}
ORDER BY r.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A request as it was stored."""

    work: Work
    state: str
    method: str
    path: str
    query: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    message_id: str
    client: str
    webhook_state: str = "active"
    present_version: int = 0

    @property
    def version(self) -> int:
        """The definition that maps it: the one that it was taken under, and the present one once it is replayed."""
        return self.work.definition_version if self.work.round == 1 else self.present_version


def seen(webhook: InboundWebhook, stored: Stored) -> dict[str, Any]:
    """Return what expressions see of a stored request.

    Raises:
        Malformed: its body or its query is not what it claims to be.
        Unsupported: a charset that is not taken.

    """
    content_type = stored.headers.get("content-type", "")
    given = media_type(content_type) or webhook.content_types[0]
    return scope_of(
        request_id=stored.work.id,
        received_at=stored.work.received_at,
        method=stored.method,
        path=stored.path,
        query=stored.query,
        client=stored.client,
        params=stored.params,
        headers=stored.headers,
        body=parse(stored.body, format_of(webhook.format, given), content_type),
    )


def load(conn: Connection, ids: Sequence[UUID]) -> list[tuple[Any, Stored]]:
    """Return requests with the row of each, which has its workspace; those that memory has no room for are left out."""
    return [(row, stored(row)) for row in conn.exec_driver_sql(_LOAD, {"ids": list(ids)})]


def stored(row: Any) -> Stored:
    """Return a request from its row."""
    work = Work(
        id=row.id,
        webhook_id=row.webhook_id,
        webhook=row.webhook,
        definition_version=row.definition_version if row.round == 1 else row.present_version,
        round=row.round,
        received_at=row.received_at,
        correlation_id=row.correlation_id,
        hop=hop_of(row.headers),
    )
    return Stored(
        work=work,
        state=row.state,
        method=row.method,
        path=row.path,
        query=row.query,
        params=row.params,
        headers=row.headers,
        body=bytes(row.body),
        message_id=row.message_id,
        client=row.client,
        webhook_state=row.webhook_state,
        present_version=row.present_version,
    )


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of an inbound definition: how its requests are read, and how they are mapped."""

    webhook: InboundWebhook
    mapper: Mapper
    answerer: Answerer


def definition_of(body: Mapping[str, Any]) -> Definition:
    """Return a checked body, compiled.

    Raises:
        ExpressionError: it was never checked.

    """
    return Definition(inbound_of(body), Mapper(body), Answerer(body))


class Definitions:
    """The definitions of all webhooks and versions that were needed lately, compiled."""

    def __init__(self) -> None:
        self._cache: OrderedDict[Key, Definition] = OrderedDict()

    def missing(self, requests: Iterable[tuple[int, Stored]]) -> set[tuple[UUID, int]]:
        """Return (webhook, version) of requests of a workspace whose definitions are not here yet."""
        return {
            (each.work.webhook_id, each.work.definition_version)
            for workspace, each in requests
            if (workspace, each.work.webhook_id, each.work.definition_version) not in self._cache
        }

    def read(self, tx: Tx, wanted: Iterable[tuple[UUID, int]]) -> None:
        """Read and compile definitions of a workspace; what cannot be is found missing when it is asked for."""
        for (webhook, version), body in pinning.bodies(tx, list(wanted)).items():
            try:
                self._keep((tx.scope.workspace_id, webhook, version or 0), definition_of(body))
            except (
                CrossdockError,
                KeyError,
                ValueError,
            ):  # stored by another release, whose definitions we cannot read
                continue

    def get(self, scope: Scope, work: Work) -> Definition:
        """Return the definition that maps a request.

        Raises:
            Permanent: VERSION_MISSING, it is not kept, or cannot be read.

        """
        key = (scope.workspace_id, work.webhook_id, work.definition_version)
        found = self._cache.get(key)
        if found is None:
            raise Permanent(
                f"version {work.definition_version} of the definition is not kept; replay maps by the present one",
                code=VERSION_MISSING,
                source="mapping",
            )
        with suppress(KeyError):  # another thread has just put it out
            self._cache.move_to_end(key)
        return found

    def _keep(self, key: Key, definition: Definition) -> None:
        self._cache[key] = definition
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
