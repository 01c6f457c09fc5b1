"""Sync runs count what they parked, and are found by their event; two-way jobs know what each side has no more; resolved conflicts age."""

from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

PARKED = "ALTER TABLE sync_runs ADD COLUMN parked bigint NOT NULL DEFAULT 0"
GONE = """
ALTER TABLE sync_bases
  ADD COLUMN seen_by uuid,  -- the run whose snapshot of the source had it
  ADD COLUMN seen_back_by uuid,  -- the run whose snapshot of the target had it
  ADD COLUMN gone_at timestamptz,  -- deleted on one side, and that was done on the other
  ADD COLUMN ledger_key text,  -- as in sync_records
  ADD COLUMN target_plain text;  -- target_key as texts, as key is the source's
CREATE INDEX sync_bases_by_target ON sync_bases (job_id, target_plain);
"""
EVENTS = "CREATE INDEX sync_runs_by_event ON sync_runs (event_uid) WHERE event_uid IS NOT NULL"
CONFLICTS = "CREATE INDEX sync_conflicts_resolved ON sync_conflicts (resolved_at) WHERE state = 'resolved'"


def upgrade() -> None:
    op.execute(PARKED)
    op.execute(GONE)
    op.execute(EVENTS)
    op.execute(CONFLICTS)
