"""Those who wait for an event are gone through in the order of their runs, some at a time."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEX = "CREATE INDEX flow_waits_in_order ON flow_waits (workspace_id, type, field, value, run_id, path)"
OLD = "DROP INDEX flow_waits_for"


def upgrade() -> None:
    op.execute(INDEX)
    op.execute(OLD)
