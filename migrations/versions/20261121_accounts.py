"""Passwords and API keys."""

revision = "20261121d"
down_revision = "20261121c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
