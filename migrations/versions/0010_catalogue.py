"""Nothing: versions, up-casters and loops need no table of their own. The number is taken, so it stays."""

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing."""
