"""What a webhook does not say is not read: most have no `expires` of their own, and reading none took half of a fan-out's time."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER FUNCTION crossdock_seconds(text) STRICT")
