"""Stores, jobs, visits and their images."""

revision = "20261121i"
down_revision = "20261121h"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
