"""Nothing yet: the place of the syncs stream in the order of migrations."""

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing."""
