"""Search among images by words, place and time."""

revision = "20261121g"
down_revision = "20261121f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
