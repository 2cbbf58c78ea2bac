"""Tables for operations: the age of dead letters, reprocessing in batches, audits that can be resumed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121l"
down_revision = "20261121k"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("died_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("tasks_dead_idx", "tasks", ["id"], postgresql_where=sa.text("state = 'dead'"))
    op.create_index(
        "tasks_reprocessing_idx",
        "tasks",
        [sa.text("(payload ->> 'reprocessing')")],
        postgresql_where=sa.text("kind = 'reprocess'"),
    )
    op.create_table(
        "reprocessings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("planned", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("after", sa.Uuid(), nullable=True),
        sa.Column("until", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'done', 'stopped')", name=op.f("reprocessings_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("reprocessings_pkey")),
    )
    op.create_index(
        "reprocessings_wanted_key",
        "reprocessings",
        ["wanted"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "audits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("places", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audits_pkey")),
    )


def downgrade() -> None:
    op.drop_table("audits")
    op.drop_table("reprocessings")
    op.drop_index("tasks_reprocessing_idx", "tasks")
    op.drop_index("tasks_dead_idx", "tasks")
    op.drop_column("tasks", "died_at")
