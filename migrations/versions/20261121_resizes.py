"""Table of requested resizes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121j"
down_revision = "20261121i"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resizes",
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("source_key", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'started', 'success', 'rejected', 'failed', 'expired')",
            name=op.f("resizes_state_check"),
        ),
        sa.CheckConstraint("(state = 'success') = (key IS NOT NULL)", name=op.f("resizes_result_check")),
        sa.CheckConstraint(
            "(state IN ('pending', 'started')) = (expires_at IS NULL)", name=op.f("resizes_expiry_check")
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("resizes_owner_id_fkey")),
        sa.PrimaryKeyConstraint("token", name=op.f("resizes_pkey")),
        sa.UniqueConstraint("source_key", name=op.f("resizes_source_key_key")),
        sa.UniqueConstraint("key", name=op.f("resizes_key_key")),
    )
    op.create_index(op.f("resizes_owner_id_idx"), "resizes", ["owner_id"], postgresql_include=["state"])
    op.create_index(
        op.f("resizes_expires_at_idx"), "resizes", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )


def downgrade() -> None:
    # without this, no row would name their objects
    op.execute("DELETE FROM tasks WHERE kind = 'resize'")
    for column in ("source_key", "key"):
        op.execute(
            f"INSERT INTO loose_objects (key, state, not_before) SELECT {column}, 'reaping', now() FROM resizes WHERE {column} IS NOT NULL"
        )
    op.drop_table("resizes")
