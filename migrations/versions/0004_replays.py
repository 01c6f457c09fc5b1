"""Replay jobs, and what a replayed delivery knows: where it comes from, and with which definition its payload is made."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REPLAYS = """
CREATE TABLE replays (
  workspace_id bigint NOT NULL REFERENCES workspaces,
  id uuid PRIMARY KEY,
  version int NOT NULL,  -- of the aggregate: raised by what people and the job itself decide, not by progress
  state text NOT NULL,
  filter jsonb NOT NULL,
  options jsonb NOT NULL,
  webhook_id uuid,
  before uuid NOT NULL,  -- events from here on came after the replay was asked for
  counted bigint NOT NULL DEFAULT 0,
  counted_to uuid[],  -- (event, webhook): how far counting has got
  total bigint,
  done_to uuid[],  -- (event, webhook): how far making deliveries has got
  done bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  paid_until timestamptz,  -- the rate cap: up to here the deliveries that were made are paid for
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  correlation_id text NOT NULL,
  finished_at timestamptz,
  error jsonb
);
CREATE INDEX replays_by_workspace ON replays (workspace_id, id);
"""

DELIVERIES = """
ALTER TABLE deliveries
  ADD COLUMN definition_version int,  -- of the webhook's definition, when this was first sent
  ADD COLUMN pinned_version int,      -- the payload is made by this version of the definition; NULL: by the present one
  ADD COLUMN replay_id uuid;
CREATE INDEX deliveries_by_replay ON deliveries (replay_id, state) WHERE replay_id IS NOT NULL;
"""

FENCES = """
ALTER TABLE replays ENABLE ROW LEVEL SECURITY;
CREATE POLICY engine ON replays TO crossdock_engine USING (true) WITH CHECK (true);
CREATE POLICY tenant ON replays TO crossdock_api
  USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
  WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON replays TO crossdock_api, crossdock_engine;
"""


def upgrade() -> None:
    for statements in (REPLAYS, DELIVERIES, FENCES):
        op.execute(statements)
