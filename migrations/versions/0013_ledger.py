"""What runs of sync jobs have done: progress and checkpoint of each, where a job goes on, the ledger, refused records."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

RUNS = """
ALTER TABLE sync_runs
  ADD COLUMN phase text NOT NULL DEFAULT 'begin',  -- begin, read, snapshot, delete, finish
  ADD COLUMN bounds json,  -- the window under way, values packed
  ADD COLUMN position json,  -- of the last page that was written: where the next slice goes on
  ADD COLUMN high json,  -- the cursor values of the last row
  ADD COLUMN token json,
  ADD COLUMN batches int NOT NULL DEFAULT 0,
  ADD COLUMN total bigint,  -- how many rows there are to read, about, where the source can tell
  ADD COLUMN known bigint NOT NULL DEFAULT 0,  -- records in the ledger when the run began: what guards count by
  ADD COLUMN read bigint NOT NULL DEFAULT 0,
  ADD COLUMN written bigint NOT NULL DEFAULT 0,
  ADD COLUMN unchanged bigint NOT NULL DEFAULT 0,
  ADD COLUMN refused bigint NOT NULL DEFAULT 0,
  ADD COLUMN deleted bigint NOT NULL DEFAULT 0,
  ADD COLUMN attempts int NOT NULL DEFAULT 0,  -- of the batch under way
  ADD COLUMN error jsonb,
  ADD COLUMN cancelled_at timestamptz,  -- when somebody asked for it
  ADD COLUMN progressed_at timestamptz;
"""

STATES = """
CREATE TABLE sync_states (
  workspace_id bigint NOT NULL,
  job_id uuid PRIMARY KEY,
  position json,  -- packed values of the cursor fields: everything up to them was written
  token json,
  snapshot_at timestamptz,  -- when deletes were last looked for by a key snapshot
  run_id uuid,
  updated_at timestamptz NOT NULL DEFAULT now()
);
"""

RECORDS = """
-- The ledger: what was made of each row, so that what is unchanged is not sent again and what is gone is found.
CREATE TABLE sync_records (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  key text NOT NULL,  -- packed primary key of the source's row, as JSON
  hash bytea NOT NULL,  -- of the source's row
  target_key json,  -- packed values of match_on
  target_id text,
  mapping_version int NOT NULL,
  run_id uuid NOT NULL,
  seen_by uuid,  -- the last run whose key snapshot had it
  gone_at timestamptz,
  before json,  -- what the target held before it was first written
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, key)
) WITH (fillfactor = 85);
CREATE INDEX sync_records_by_target ON sync_records (workspace_id, job_id, (target_key::text));
CREATE TABLE sync_refused (
  id uuid PRIMARY KEY,
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  run_id uuid NOT NULL,
  key text,
  row json NOT NULL,
  record json,
  error jsonb NOT NULL,
  state text NOT NULL DEFAULT 'dead',  -- dead, replayed, discarded
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sync_refused_by_run ON sync_refused (workspace_id, job_id, run_id, id);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_states', 'sync_records', 'sync_refused'] LOOP
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
    op.execute(STATES)
    op.execute(RECORDS)
    op.execute(FENCES)
