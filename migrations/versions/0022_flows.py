"""Flows: the aggregate, their runs with the steps of each, what they wait for, and what has come for them."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# As AGGREGATE in 0001.
FLOWS = """
CREATE TABLE flows (
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
CREATE INDEX flows_by_tenant ON flows (organization_id, workspace_id, id);
CREATE UNIQUE INDEX flows_by_name ON flows (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX flows_by_metadata ON flows USING gin (metadata jsonb_path_ops);
"""

RUNS = """
CREATE TABLE flow_runs (
  id uuid PRIMARY KEY,  -- version 7; its due row has it as `ref`, and the flow as its lane
  workspace_id bigint NOT NULL,
  flow_id uuid NOT NULL,
  definition_version int NOT NULL,  -- the one that it began with, to the end
  state text NOT NULL DEFAULT 'queued',  -- see server/flows/states.py
  cause text NOT NULL,  -- event, person, flow
  event_uid uuid,  -- the event that started it
  key text,  -- its idempotency key; taken until the run is compensated or cancelled
  data json NOT NULL,  -- what it was started with
  output json,
  error json,  -- the failure that ended it, or that it is being undone for
  parent_id uuid, parent_path text,  -- the step of another run that waits for it
  depth int NOT NULL DEFAULT 0,
  round int NOT NULL DEFAULT 1,  -- one more each time that a person retries it; part of the keys of its calls
  priority int NOT NULL,
  trail text,  -- the definitions that the chain behind it has passed, as in `crossdockpath`
  hops int NOT NULL DEFAULT 0,
  principal text NOT NULL,
  correlation_id text NOT NULL,
  cancelled_at timestamptz, cancelled_by text,
  resume_from text,  -- the step that is done again, with all behind it, once what they did is undone
  deadline timestamptz,  -- when it is over, whatever it waits for
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX flow_runs_by_flow ON flow_runs (workspace_id, flow_id, id);
CREATE INDEX flow_runs_listed ON flow_runs (workspace_id, state, id);
CREATE INDEX flow_runs_by_correlation ON flow_runs (workspace_id, correlation_id);
CREATE INDEX flow_runs_by_event ON flow_runs (event_uid) WHERE event_uid IS NOT NULL;
CREATE INDEX flow_runs_ended ON flow_runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX flow_runs_by_parent ON flow_runs (parent_id) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX flow_runs_by_key ON flow_runs (workspace_id, flow_id, key)
  WHERE key IS NOT NULL AND state NOT IN ('compensated', 'cancelled');
"""

STEPS = """
CREATE TABLE flow_steps (
  workspace_id bigint NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,  -- the step's id, with the items that it lies in: see server/flows/paths.py
  state text NOT NULL,  -- see server/flows/states.py
  number int NOT NULL,  -- in the order in which steps ended well: undone newest first
  round int NOT NULL DEFAULT 1,  -- the run's, when it was begun
  tries int NOT NULL DEFAULT 0,
  input json,  -- what the call was made with: the same again at every try
  result json,
  error json,
  note json,  -- what the kind of step keeps for itself: until when it sleeps, the run of a child, who approved
  undo_tries int NOT NULL DEFAULT 0,
  undo_error json,
  began_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  undone_at timestamptz,
  PRIMARY KEY (run_id, path)
) WITH (fillfactor = 80);
"""

WAITS = """
-- A run that waits costs nothing: an event looks for those that wait for it, by what its flow compares it with.
CREATE TABLE flow_waits (
  workspace_id bigint NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  type text NOT NULL,  -- the event type, no pattern
  field text NOT NULL DEFAULT '',  -- the field of `arrived` that must be equal to `value`; empty: any event of the type
  value text NOT NULL DEFAULT '',  -- as canonical JSON, or its hash where it is long
  needed int NOT NULL,
  scanned json,  -- how far the events from before it began have been looked at
  PRIMARY KEY (run_id, path, type)
);
CREATE INDEX flow_waits_for ON flow_waits (workspace_id, type, field, value);
CREATE TABLE flow_arrivals (
  workspace_id bigint NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  event_uid uuid NOT NULL,
  PRIMARY KEY (run_id, path, event_uid)
);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['flows', 'flow_runs', 'flow_steps', 'flow_waits', 'flow_arrivals'] LOOP
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
    op.execute(FLOWS)
    op.execute(RUNS)
    op.execute(STEPS)
    op.execute(WAITS)
    op.execute(FENCES)
