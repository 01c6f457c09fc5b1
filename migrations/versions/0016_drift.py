"""What the rows of a sync job look like, so that a change is seen; and records that wait for another that they refer to."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SHAPES = """
CREATE TABLE sync_shapes (
  workspace_id bigint NOT NULL,
  job_id uuid PRIMARY KEY,
  origin text NOT NULL,  -- hash of source and map: another one is learned anew
  fields json NOT NULL,  -- name: {types, always}
  is_settled boolean NOT NULL DEFAULT false,  -- a run has succeeded: what differs from now on is a change
  revision int NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now()
);
"""

PARKED = """
CREATE TABLE sync_parked (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  key text NOT NULL,  -- as in sync_records
  row json NOT NULL,
  run_id uuid NOT NULL,  -- the one that parked it
  ref_job text NOT NULL,  -- the name of the job that has yet to write the record referred to
  ref_key text NOT NULL,  -- its key there
  parked_at timestamptz NOT NULL DEFAULT now(),
  until timestamptz NOT NULL,  -- then it is a dead letter
  ready_at timestamptz,  -- when the record referred to was seen
  PRIMARY KEY (job_id, key)
);
CREATE INDEX sync_parked_waiting ON sync_parked (workspace_id, ref_job, ref_key) WHERE ready_at IS NULL;
CREATE INDEX sync_parked_ready ON sync_parked (job_id, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX sync_parked_until ON sync_parked (until);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_shapes', 'sync_parked'] LOOP
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
    op.execute(SHAPES)
    op.execute(PARKED)
    op.execute(FENCES)
