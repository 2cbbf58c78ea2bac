"""Perceptual hashes, found by their bands."""

revision = "20261121h"
down_revision = "20261121g"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
