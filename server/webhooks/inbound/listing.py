"""What people see of stored requests: the SQL of listings, under the tenant's fence."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from server.kernel import ids
from server.kernel.errors import NotFound
from server.kernel.ids import first_uuid_of, show
from server.webhooks.inbound.seeing import ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx

MOST_SHOWN = 256 * 1024
_COLUMNS = """
r.id, w.name AS webhook, r.state, r.reason, r.error, r.event_ids, r.round, r.definition_version, r.method, r.path, r.query,
r.message_id, r.client, r.correlation_id, octet_length(r.body) AS body_size, r.received_at, r.finished_at
"""
_FROM = "FROM inbound_requests r JOIN webhooks w ON w.id = r.webhook_id WHERE r.workspace_id = :workspace_id"


def requests(
    tx: Tx,
    *,
    before: UUID | None,
    limit: int,
    webhook: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[Row[Any]]:
    """Return requests newest first. The id has the moment in it, so times are ranges of ids."""
    return tx.all(
        f"""SELECT {_COLUMNS} {_FROM}
            AND (CAST(:before AS uuid) IS NULL OR r.id < :before)
            AND (CAST(:low AS uuid) IS NULL OR r.id >= :low) AND (CAST(:high AS uuid) IS NULL OR r.id < :high)
            AND (CAST(:webhook AS text) IS NULL OR r.webhook_id IN (
              SELECT id FROM webhooks WHERE workspace_id = :workspace_id AND name = :webhook))
            AND (CAST(:state AS text) IS NULL OR r.state = :state)
            ORDER BY r.id DESC LIMIT :limit""",
        before=before,
        low=_id_at(since),
        high=_id_at(until),
        webhook=webhook,
        state=state,
        limit=limit,
    )


def request(tx: Tx, identity: UUID) -> Row[Any] | None:
    """Return one request with its content."""
    return tx.one(
        f"SELECT {_COLUMNS}, r.params, r.headers, substring(r.body FROM 1 FOR :most) AS body {_FROM} AND r.id = :id",
        id=identity,
        most=MOST_SHOWN,
    )


def read_id(text: str) -> UUID:
    """Read an id from a path.

    Raises:
        NotFound: it is none, so nothing has it.

    """
    try:
        return ids.read(ID_PREFIX, text)
    except ValueError as error:
        raise NotFound("no such request here") from error


def shown(row: Any) -> dict[str, Any]:
    """Return a request as the API shows it."""
    return {**row._mapping, "id": show(ID_PREFIX, row.id)}  # noqa: SLF001 - SQLAlchemy's public name for it


def shown_whole(row: Any) -> dict[str, Any]:
    """Return a request with its content; a text that was cut inside a sign ends before it."""
    raw = bytes(row.body)
    cut = row.body_size > len(raw)
    try:
        text = raw.decode("utf-8", "ignore" if cut and _is_text(raw) else "strict")
    except UnicodeDecodeError:
        return {**shown(row), "body": None, "body_base64": b64encode(raw).decode()}
    return {**shown(row), "body": text, "body_base64": None}


def _is_text(raw: bytes) -> bool:
    """Say whether it is UTF-8 but for a sign that was cut at the end."""
    try:
        raw[: len(raw) - 3].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(raw) - 6
    return True


def _id_at(moment: datetime | None) -> UUID | None:
    return None if moment is None else first_uuid_of(max(0, int(moment.timestamp() * 1000)))
