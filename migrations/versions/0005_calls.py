"""Results of calls under their idempotency key: who is at work on one, and what became of it, for a day."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RESULTS = """
CREATE TABLE call_results (
  workspace_id bigint NOT NULL,
  integration_id uuid NOT NULL,
  key text NOT NULL,
  operation text NOT NULL,
  request_hash bytea NOT NULL,  -- of operation and input: the same key with another request is refused
  owner uuid NOT NULL,
  epoch int NOT NULL,  -- rises with every owner: a late result of an earlier one changes nothing
  started_at timestamptz NOT NULL,
  lease_until timestamptz NOT NULL,
  finished_at timestamptz,  -- NULL while nobody has ended it
  result json,  -- as it was written: the same bytes again
  error json,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (workspace_id, integration_id, key)
);
CREATE INDEX call_results_by_age ON call_results (expires_at);
"""

FENCE = """
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO crossdock_engine, crossdock_api;
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY engine ON {table} TO crossdock_engine USING (true) WITH CHECK (true);
CREATE POLICY tenant ON {table} TO crossdock_api
  USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
  WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
"""


def upgrade() -> None:
    op.execute(RESULTS)
    op.execute(FENCE.format(table="call_results"))
