"""Tables of stores, jobs, visits and their images; the fair queue of tasks (column turn_of)."""

import sqlalchemy as sa
from alembic import op

revision = "20261121i"
down_revision = "20261121h"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stores",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("stores_pkey")),
    )
    op.create_index(op.f("stores_area_id_idx"), "stores", ["area", "id"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="ongoing", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("done + failed + cancelled <= total", name=op.f("jobs_counts_check")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (done + failed + cancelled < total)", name=op.f("jobs_finished_check")
        ),
        sa.CheckConstraint("status IN ('ongoing', 'completed', 'failed', 'cancelled')", name=op.f("jobs_status_check")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("jobs_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
    )
    op.create_index(op.f("jobs_owner_id_id_idx"), "jobs", ["owner_id", "id"])
    op.create_table(
        "visits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("visit_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("visits_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("visits_pkey")),
    )
    op.create_index(op.f("visits_job_id_position_idx"), "visits", ["job_id", "position"])
    op.create_table(
        "visit_images",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("visit_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("fetch_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("perimeter", sa.BigInteger(), nullable=True),
        sa.Column("score", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'done', 'failed', 'cancelled')", name=op.f("visit_images_state_check")
        ),
        sa.CheckConstraint("(state = 'done') = (perimeter IS NOT NULL)", name=op.f("visit_images_done_check")),
        sa.CheckConstraint("(state = 'failed') = (reason IS NOT NULL)", name=op.f("visit_images_failed_check")),
        sa.ForeignKeyConstraint(["visit_id"], ["visits.id"], name=op.f("visit_images_visit_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("visit_images_pkey")),
    )
    op.create_index(op.f("visit_images_visit_id_position_idx"), "visit_images", ["visit_id", "position"])
    op.create_index(op.f("visit_images_fetch_id_idx"), "visit_images", ["fetch_id"])
    # covers the report: it reads this index and not the table
    op.create_index(
        "visit_images_report_idx",
        "visit_images",
        ["store_id", "visit_time"],
        postgresql_include=["owner_id", "perimeter", "seconds", "score"],
        postgresql_where=sa.text("state = 'done'"),
    )
    op.create_table(
        "fetched_urls",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("url_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        # deleted with the image, by cascade: these rows name no objects in the bucket
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fetched_urls_image_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner_id", "url_sha256", name=op.f("fetched_urls_pkey")),
    )
    op.create_index(op.f("fetched_urls_image_id_idx"), "fetched_urls", ["image_id"])

    op.add_column("tasks", sa.Column("turn_of", sa.Uuid(), nullable=True))
    op.create_index(
        "tasks_turns_idx",
        "tasks",
        ["turn_of", "state", "due_at"],
        postgresql_where=sa.text("turn_of IS NOT NULL"),
    )
    op.drop_index("tasks_due_at_idx", "tasks")
    op.create_index(
        "tasks_due_at_idx",
        "tasks",
        ["due_at"],
        postgresql_where=sa.text("state = 'pending' AND turn_of IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("tasks_due_at_idx", "tasks")
    op.create_index("tasks_due_at_idx", "tasks", ["due_at"], postgresql_where=sa.text("state = 'pending'"))
    op.drop_index("tasks_turns_idx", "tasks")
    op.drop_column("tasks", "turn_of")
    op.drop_table("fetched_urls")
    op.drop_table("visit_images")
    op.drop_table("visits")
    op.drop_table("jobs")
    op.drop_table("stores")
