"""Runs of flows of one workspace, the newest first, are found without reading past those of all others."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

INDEX = "CREATE INDEX flow_runs_of_workspace ON flow_runs (workspace_id, id)"
KEYS = "CREATE INDEX flow_runs_by_key_alone ON flow_runs (workspace_id, key, id) WHERE key IS NOT NULL"


def upgrade() -> None:
    op.execute(INDEX)
    op.execute(KEYS)
