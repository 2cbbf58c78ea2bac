"""What operators ask for: audits, dead letters."""

revision = "20261121l"
down_revision = "20261121k"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
