"""Sync jobs: the aggregate, when each runs next, the times that have been carried out, and the runs that came of it."""

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

RUNS = """
-- What a run is of, and why it is there; what it has done is the engine's to add.
CREATE TABLE sync_runs (
  id uuid PRIMARY KEY,  -- version 7; its due row has it as `ref`, and the job as its lane
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  definition_version int NOT NULL,  -- the one that it began with, to the end
  state text NOT NULL DEFAULT 'queued',  -- queued, running, paused; then succeeded, failed, cancelled
  cause text NOT NULL,  -- schedule, event, person
  nominal timestamptz,  -- by schedule: the time that it stands for
  event_uid uuid,  -- the event that asked for it
  key json,  -- the primary key of the one record that is synced; NULL is a whole run
  principal text NOT NULL,
  correlation_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz
);
CREATE INDEX sync_runs_by_job ON sync_runs (workspace_id, job_id, id);
CREATE INDEX sync_runs_under_way ON sync_runs (job_id) WHERE state IN ('queued', 'running', 'paused');
CREATE INDEX sync_runs_to_come ON sync_runs (job_id, (key::text)) WHERE state = 'queued';
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_jobs', 'sync_schedules', 'sync_slots', 'sync_runs'] LOOP
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
    op.execute(RUNS)
    op.execute(FENCES)
