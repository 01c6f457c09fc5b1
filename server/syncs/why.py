"""Why a record of a target looks as it does: its row in the ledger, the run and the event behind it, and what was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import NotFound, Permanent
from server.kernel.ids import show
from server.sdk.positions import as_json, unpacked
from server.store.values import read_json
from server.syncs import changes, ledger
from server.telemetry.redaction import redact

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx
    from server.syncs.aggregate import SyncJob

MOST = 20
_LONGEST = 2000
_RECORD = """
SELECT key, hash, target_key, target_id, mapping_version, run_id, gone_at, updated_at FROM sync_records
WHERE workspace_id = :workspace_id AND job_id = :job AND key = ANY(:keys) LIMIT 1
"""
_RUN = """
SELECT r.id, r.kind, r.cause, r.state, r.definition_version, r.nominal, r.principal, r.correlation_id, r.started_at, r.ended_at,
  e.id AS event_id, e.type AS event_type, e.subject, e.time AS event_time
FROM sync_runs r LEFT JOIN events e ON e.workspace_id = r.workspace_id AND e.uid = r.event_uid
WHERE r.workspace_id = :workspace_id AND r.id = :run
"""
_CHANGES = """
SELECT * FROM sync_changes WHERE workspace_id = :workspace_id AND job_id = :job AND key = :key ORDER BY at DESC LIMIT :most
"""
_REFUSED = """
SELECT id, run_id, error, state, at FROM sync_refused
WHERE workspace_id = :workspace_id AND job_id = :job AND key = ANY(:keys) ORDER BY id DESC LIMIT :most
"""
_TOUCH = "UPDATE sync_records SET hash = ''::bytea WHERE workspace_id = :workspace_id AND job_id = :job AND key = :key"


def keys_of(text: str) -> list[str]:
    """Return what a key as people write it can be in the ledger: `[1, "a"]`, `1`, or a text."""
    try:
        value = read_json(text)
    except (ValueError, RecursionError):
        value = text
    candidates = [_key_of(value if isinstance(value, list) else [value]), _key_of([text])]
    return list(dict.fromkeys(each for each in candidates if each is not None))


def record(tx: Tx, job: SyncJob, text: str) -> Row[Any]:
    """Return a record's row in the ledger.

    Raises:
        NotFound: the job has written no such record.

    """
    row = tx.one(_RECORD, job=job.id, keys=keys_of(text)) if len(text) <= _LONGEST else None
    if row is None:
        raise NotFound("the job has written no record with this key", source="sync")
    return row


def explained(tx: Tx, job: SyncJob, text: str) -> dict[str, Any]:
    """Return all that is known of a record.

    Raises:
        NotFound: nothing is.

    """
    keys = keys_of(text) if len(text) <= _LONGEST else []
    row = record(tx, job, text)
    run = tx.one(_RUN, run=row.run_id)
    return {
        "job": job.name,
        "key": people(row.key),
        "state": "there" if row.gone_at is None else "gone",
        "target_key": None if row.target_key is None else as_json(unpacked(row.target_key)),
        "target_id": row.target_id,
        "source_hash": bytes(row.hash).hex() or None,
        "mapping_version": row.mapping_version,
        "written_at": row.updated_at,
        "run": _run(run, row.run_id),
        "event": _event(run),
        "changes": [_change(each) for each in tx.all(_CHANGES, job=job.id, key=row.key, most=MOST)],
        "refused": [_refused(each) for each in tx.all(_REFUSED, job=job.id, keys=keys, most=MOST)],
    }


def write_again(tx: Tx, job: SyncJob, text: str) -> list[Any]:
    """Let a record count as changed, and return its key: the run that reads it next writes it.

    Raises:
        NotFound: the job has written no such record.

    """
    row = record(tx, job, text)
    tx.run(_TOUCH, job=job.id, key=row.key)
    found: list[Any] = read_json(row.key)
    return found


def people(key: str) -> Any:
    """Return a key of the ledger as JSON for people."""
    return as_json(ledger.values_of(key))


def image(stored: Any) -> Any:
    """Return a record that was kept as JSON for people, without credentials."""
    return None if stored is None else redact(as_json(changes.read(stored)))


def _key_of(values: list[Any]) -> str | None:
    """Return values as the ledger writes a key, or None for what no record has: a number past 64 bits, a list, an object."""
    try:
        return ledger.key_of(values)
    except (TypeError, Permanent):
        return None


def _run(run: Row[Any] | None, identity: UUID) -> dict[str, Any]:
    if run is None:
        return {"id": show("run", identity)}
    names = ("kind", "cause", "state", "definition_version", "principal", "correlation_id")
    moments = {name: _moment(getattr(run, name)) for name in ("nominal", "started_at", "ended_at")}
    return {"id": show("run", run.id), **{name: getattr(run, name) for name in names}, **moments}


def _event(run: Row[Any] | None) -> dict[str, Any] | None:
    if run is None or run.event_id is None:
        return None
    return {"id": run.event_id, "type": run.event_type, "subject": run.subject, "time": _moment(run.event_time)}


def _change(row: Row[Any]) -> dict[str, Any]:
    return {
        "run": show("run", row.run_id),
        "at": _moment(row.at),
        "before": image(row.before),
        "written": image(row.written),
        "state": row.outcome or "open",
        "reverted_by": None if row.reverted_by is None else show("run", row.reverted_by),
    }


def _refused(row: Row[Any]) -> dict[str, Any]:
    return {"run": show("run", row.run_id), "at": _moment(row.at), "error": row.error, "state": row.state}


def _moment(value: Any) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
