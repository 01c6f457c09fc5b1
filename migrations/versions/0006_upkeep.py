"""Stuck orders, endpoint health, and alerts of dead letters.

`deliveries.order_no` is null beside an `order_key` once a delivery has given up its place in the order.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A day and not a moment: an update that leaves every indexed column as it is stays on its page.
ORDER = """
ALTER TABLE order_counters ADD COLUMN used_on date NOT NULL DEFAULT current_date;
CREATE INDEX order_counters_by_use ON order_counters (used_on);
CREATE INDEX deliveries_waiting_until ON deliveries (expires_at) WHERE state = 'pending' AND order_key IS NOT NULL;
"""

HEALTH = """
CREATE TABLE endpoint_health (
  workspace_id bigint NOT NULL,
  webhook_id uuid PRIMARY KEY,
  failing_since timestamptz,  -- the first failure since the last success; null while it works
  last_failure_at timestamptz NOT NULL DEFAULT now(),  -- to the minute
  last_success_at timestamptz  -- the one that ended the last failing
);
CREATE INDEX endpoint_health_failing ON endpoint_health (failing_since) WHERE failing_since IS NOT NULL;
"""

ALERTS = """
ALTER TABLE dead_letters ADD COLUMN alert_due boolean NOT NULL DEFAULT false;
CREATE INDEX dead_letters_alert_due ON dead_letters (workspace_id, id) WHERE alert_due;
CREATE TABLE alert_counts (
  workspace_id bigint NOT NULL,
  owner_id uuid NOT NULL,
  minute timestamptz NOT NULL,
  owner text NOT NULL,
  kind text NOT NULL,
  letters int NOT NULL,  -- dead letters of that minute so far
  PRIMARY KEY (workspace_id, owner_id, minute)
);
CREATE INDEX alert_counts_by_minute ON alert_counts (minute);
"""

FENCE = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY engine ON {table} TO crossdock_engine USING (true) WITH CHECK (true);
CREATE POLICY tenant ON {table} TO crossdock_api
  USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
  WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO crossdock_engine, crossdock_api;
"""


def upgrade() -> None:
    for statements in (ORDER, HEALTH, ALERTS):
        op.execute(statements)
    for table in ("endpoint_health", "alert_counts"):
        op.execute(FENCE.format(table=table))
