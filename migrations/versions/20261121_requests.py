"""Table of idempotency keys, and the count of rejected files on batches."""

import sqlalchemy as sa
from alembic import op

revision = "20261121e"
down_revision = "20261121d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("body_bytes", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sealed_with", sa.Text(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("(answer IS NULL) = (lease_token IS NOT NULL)", name=op.f("idempotency_keys_lease_check")),
        # deleted with the account, by cascade: these rows name no objects in the bucket
        sa.ForeignKeyConstraint(
            ["caller_id"], ["users.id"], name=op.f("idempotency_keys_caller_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("caller_id", "key_sha256", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(op.f("idempotency_keys_created_at_idx"), "idempotency_keys", ["created_at"], unique=False)
    op.add_column("batches", sa.Column("rejected", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("batches", "rejected")
    op.drop_table("idempotency_keys")
