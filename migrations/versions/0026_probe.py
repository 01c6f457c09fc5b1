"""A breaker remembers which call is its probe, so that no other's outcome is taken for it."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE breakers ADD COLUMN probe uuid")
