"""What runs of sync jobs wrote and what was there before, so that they can be reverted; what reconciling finds; kinds of runs."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

RUNS = """
ALTER TABLE sync_runs
  ADD COLUMN kind text NOT NULL DEFAULT 'sync',  -- sync, revert, reconcile
  ADD COLUMN options json,  -- of a revert: {run, force}; of a reconcile: {repair}
  ADD COLUMN result json;  -- what it came to, where counters do not say it
"""

CHANGES = """
-- One row for each record that a run was about to write or remove: it is there before the target is touched.
CREATE TABLE sync_changes (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  run_id uuid NOT NULL,
  key text NOT NULL,  -- as in sync_records
  target_key json NOT NULL,
  before json,  -- what the target held; NULL when it held nothing
  written json,  -- the record; NULL when it was removed
  at timestamptz NOT NULL DEFAULT now(),
  until timestamptz NOT NULL,  -- then it is forgotten
  outcome text,  -- of reverting it: reverted or left
  reason text,
  reverted_by uuid,  -- the run that reverted it, or left it
  PRIMARY KEY (run_id, key)
);
CREATE INDEX sync_changes_by_record ON sync_changes (job_id, key, at);
CREATE INDEX sync_changes_until ON sync_changes (until);
-- What was there before stands with the run that changed it.
ALTER TABLE sync_records DROP COLUMN before;
"""

DIFFERENCES = """
CREATE TABLE sync_differences (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  run_id uuid NOT NULL,  -- the one that found it
  id uuid PRIMARY KEY,
  kind text NOT NULL,  -- missing, differing, surplus
  key text,  -- of the source's row, where it is known
  target_key text NOT NULL,
  fields json NOT NULL,  -- where it differs: [{field, from, to}]
  state text NOT NULL,  -- open, repaired, left
  reason text,
  at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (run_id, target_key)
);
CREATE INDEX sync_differences_by_age ON sync_differences (at);
-- The keys that a reconcile has met in the source; they go when it ends.
CREATE TABLE sync_met (
  workspace_id bigint NOT NULL,
  run_id uuid NOT NULL,
  target_key text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, target_key)
);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_changes', 'sync_differences', 'sync_met'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY engine ON %I TO crossdock_engine USING (true) WITH CHECK (true)', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO crossdock_api
      USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
      WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)$p$, t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO crossdock_api, crossdock_engine', t);
  END LOOP;
END $$;
"""


def upgrade() -> None:
    op.execute(RUNS)
    op.execute(CHANGES)
    op.execute(DIFFERENCES)
    op.execute(FENCES)
