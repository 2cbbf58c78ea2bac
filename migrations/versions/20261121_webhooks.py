"""Webhooks and their deliveries."""

revision = "20261121k"
down_revision = "20261121j"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
