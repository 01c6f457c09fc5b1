"""Nothing yet: the place of the ledger stream in the order of migrations."""

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing."""
