"""Resumable uploads (tus)."""

revision = "20261121f"
down_revision = "20261121e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
