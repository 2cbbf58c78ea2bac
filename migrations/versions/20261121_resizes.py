"""Resizes on request."""

revision = "20261121j"
down_revision = "20261121i"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
