"""Idempotency keys, and what batches tell."""

revision = "20261121e"
down_revision = "20261121d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
