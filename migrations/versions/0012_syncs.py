"""Sync jobs: the aggregate, when each runs next, and the times that have been carried out."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# As AGGREGATE in 0001.
SYNC_JOBS = """
CREATE TABLE sync_jobs (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  id uuid PRIMARY KEY,
  name text NOT NULL,
  state text NOT NULL,
  version int NOT NULL,
  definition_version int NOT NULL,
  body json NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL, created_by text NOT NULL,
  updated_at timestamptz NOT NULL, updated_by text NOT NULL,
  deleted_at timestamptz, deleted_by text
);
CREATE INDEX sync_jobs_by_tenant ON sync_jobs (organization_id, workspace_id, id);
CREATE UNIQUE INDEX sync_jobs_by_name ON sync_jobs (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX sync_jobs_by_metadata ON sync_jobs USING gin (metadata jsonb_path_ops);
"""

SCHEDULES = """
-- One small row for each job that has a schedule and is at work; what is not due costs a tick nothing.
CREATE TABLE sync_schedules (
  workspace_id bigint NOT NULL,
  job_id uuid PRIMARY KEY,
  nominal timestamptz NOT NULL,  -- the next time by the cron expression
  fire_at timestamptz NOT NULL  -- that time and the job's jitter
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX sync_schedules_next ON sync_schedules (fire_at);
CREATE TABLE sync_slots (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  nominal timestamptz NOT NULL,
  at timestamptz NOT NULL,  -- when it was carried out
  run_id uuid,  -- NULL where it was skipped, because a run was under way
  dropped timestamptz,  -- the first of the times before it that were given up as missed
  PRIMARY KEY (job_id, nominal)
);
CREATE INDEX sync_slots_by_age ON sync_slots (at);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_jobs', 'sync_schedules', 'sync_slots'] LOOP
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
    op.execute(SYNC_JOBS)
    op.execute(SCHEDULES)
    op.execute(FENCES)
