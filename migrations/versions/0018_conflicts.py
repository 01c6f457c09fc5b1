"""Two-way sync: what both sides of a record agreed on last, and fields changed on both sides that wait for a person."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BASES = """
ALTER TABLE sync_states
  ADD COLUMN back_position json,  -- of the way back: as position and token
  ADD COLUMN back_token json;
CREATE TABLE sync_bases (
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  key text NOT NULL,  -- primary key of the source's row, as texts
  target_key json NOT NULL,  -- packed values of match_on
  base json NOT NULL,  -- field: the value that both sides had when they last agreed
  plan json,  -- what is being written, until it is known to be: base, and what each side is given
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, key)
) WITH (fillfactor = 85);
"""

CONFLICTS = """
CREATE TABLE sync_conflicts (
  id uuid PRIMARY KEY,
  workspace_id bigint NOT NULL,
  job_id uuid NOT NULL,
  key text NOT NULL,  -- as in sync_bases
  source_key json NOT NULL,  -- packed: what a run of this one record is started with
  fields json NOT NULL,  -- name: {base, source, target}
  state text NOT NULL DEFAULT 'open',  -- open, resolved
  decision json,  -- name: {side} or {value}, until the next run carries it out
  decided_by text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz
);
CREATE UNIQUE INDEX sync_conflicts_open ON sync_conflicts (job_id, key) WHERE state = 'open';
CREATE INDEX sync_conflicts_listed ON sync_conflicts (workspace_id, state, id);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sync_bases', 'sync_conflicts'] LOOP
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
    op.execute(BASES)
    op.execute(CONFLICTS)
    op.execute(FENCES)
