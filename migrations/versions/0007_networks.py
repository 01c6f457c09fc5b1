"""A workspace's own list of networks that it may reach. NULL: the instance's whole list holds."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # crossdock_api reads it of its own workspace (policy `tenant`) and may not write it: only the instance sets it
    op.execute("ALTER TABLE workspaces ADD COLUMN networks text[]")
