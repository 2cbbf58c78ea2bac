"""Tables for users, links, blobs, images, uploads, batches, renditions, tasks, loose objects and statistics."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121a"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("object_lost", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("width", sa.BigInteger(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("stored_width", sa.BigInteger(), nullable=True),
        sa.Column("stored_height", sa.BigInteger(), nullable=True),
        sa.Column("orientation", sa.BigInteger(), nullable=True),
        sa.Column("frames", sa.BigInteger(), nullable=True),
        sa.Column("color_mode", sa.Text(), nullable=True),
        sa.Column("has_icc_profile", sa.Boolean(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("camera_make", sa.Text(), nullable=True),
        sa.Column("camera_model", sa.Text(), nullable=True),
        sa.Column("camera_make_raw", sa.Text(), nullable=True),
        sa.Column("camera_model_raw", sa.Text(), nullable=True),
        sa.Column("lens", sa.Text(), nullable=True),
        sa.Column("f_number", sa.Double(), nullable=True),
        sa.Column("exposure_seconds", sa.Double(), nullable=True),
        sa.Column("iso", sa.BigInteger(), nullable=True),
        sa.Column("focal_length_mm", sa.Double(), nullable=True),
        sa.Column("captured_local", sa.DateTime(), nullable=True),
        sa.Column("captured_offset_minutes", sa.BigInteger(), nullable=True),
        sa.Column("captured_offset_source", sa.Text(), nullable=True),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("altitude_m", sa.Double(), nullable=True),
        sa.Column("perceptual_hash", sa.BigInteger(), nullable=True),
        sa.Column("score", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("notes", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'ready', 'rejected', 'failed')", name=op.f("blobs_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("blobs_pkey")),
        sa.UniqueConstraint("key", name=op.f("blobs_key_key")),
        sa.UniqueConstraint("sha256", "scope", name=op.f("blobs_sha256_scope_key")),
    )
    op.create_table(
        "stats_counts",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("stats_counts_pkey")),
    )
    op.create_table(
        "stats_deltas",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("stats_deltas_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'member')", name=op.f("users_role_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("account", name=op.f("users_account_key")),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("visibility", sa.Text(), server_default="private", nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("captured_local", sa.DateTime(), nullable=True),
        sa.Column("captured_offset_minutes", sa.BigInteger(), nullable=True),
        sa.Column("captured_offset_source", sa.Text(), nullable=True),
        sa.Column("captured_utc", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'ready', 'rejected', 'failed')", name=op.f("images_state_check")),
        sa.CheckConstraint("visibility IN ('private', 'public')", name=op.f("images_visibility_check")),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("images_blob_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("images_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("images_pkey")),
        sa.UniqueConstraint("owner_id", "blob_id", name=op.f("images_owner_id_blob_id_key")),
    )
    op.create_index(op.f("images_blob_id_idx"), "images", ["blob_id"], unique=False)
    op.create_index(op.f("images_owner_id_created_at_id_idx"), "images", ["owner_id", "created_at", "id"], unique=False)
    op.create_table(
        "links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_files", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_file_bytes", sa.BigInteger(), nullable=True),
        sa.Column("used_files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("visibility", sa.Text(), server_default="private", nullable=False),
        sa.Column("store_id", sa.Text(), nullable=True),
        sa.Column("camera_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "max_bytes IS NULL OR used_bytes + reserved_bytes <= max_bytes", name=op.f("links_bytes_check")
        ),
        sa.CheckConstraint(
            "max_files IS NULL OR used_files + reserved_files <= max_files", name=op.f("links_files_check")
        ),
        sa.CheckConstraint("reserved_files >= 0 AND reserved_bytes >= 0", name=op.f("links_reserved_check")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("links_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("links_pkey")),
    )
    op.create_index(op.f("links_owner_id_id_idx"), "links", ["owner_id", "id"], unique=False)
    op.create_table(
        "renditions",
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("renditions_blob_id_fkey")),
        sa.PrimaryKeyConstraint("blob_id", "preset", "format", name=op.f("renditions_pkey")),
        sa.UniqueConstraint("key", name=op.f("renditions_key_key")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=True),
        sa.Column("image_id", sa.Uuid(), nullable=True),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name=op.f("tasks_lease_check")),
        sa.CheckConstraint("state IN ('pending', 'running', 'dead')", name=op.f("tasks_state_check")),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("tasks_blob_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_pkey")),
    )
    op.create_index(op.f("tasks_blob_id_idx"), "tasks", ["blob_id"], unique=False)
    op.create_index("tasks_dedupe_key_key", "tasks", ["dedupe_key"], unique=True)
    op.create_index(
        op.f("tasks_due_at_idx"), "tasks", ["due_at"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(op.f("tasks_image_id_idx"), "tasks", ["image_id"], unique=False)
    op.create_index(
        op.f("tasks_lease_until_idx"),
        "tasks",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("batches_link_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("batches_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("batches_pkey")),
    )
    op.create_index(op.f("batches_owner_id_id_idx"), "batches", ["owner_id", "id"], unique=False)
    op.create_table(
        "link_contents",
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("link_contents_link_id_fkey")),
        sa.PrimaryKeyConstraint("link_id", "sha256", name=op.f("link_contents_pkey")),
    )
    op.create_table(
        "loose_objects",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("s3_upload_id", sa.Text(), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("reserved_files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('held', 'reaping', 'gone')", name=op.f("loose_objects_state_check")),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("loose_objects_link_id_fkey")),
        sa.PrimaryKeyConstraint("key", name=op.f("loose_objects_pkey")),
    )
    op.create_index(op.f("loose_objects_state_not_before_idx"), "loose_objects", ["state", "not_before"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("store_id", sa.Text(), nullable=True),
        sa.Column("store_name", sa.Text(), nullable=True),
        sa.Column("camera_id", sa.Text(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.CheckConstraint("way IN ('link', 'user', 'batch', 'tus', 'job')", name=op.f("uploads_way_check")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("uploads_batch_id_fkey")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("uploads_image_id_fkey")),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("uploads_link_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("uploads_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("uploads_pkey")),
    )
    op.create_index(op.f("uploads_batch_id_position_idx"), "uploads", ["batch_id", "position"], unique=False)
    op.create_index(op.f("uploads_image_id_idx"), "uploads", ["image_id"], unique=False)
    op.create_index(
        op.f("uploads_link_id_id_idx"),
        "uploads",
        ["link_id", "id"],
        unique=False,
        postgresql_where=sa.text("link_id IS NOT NULL"),
    )
    # the built-in account whose key is IMAGESVC_ADMIN_TOKEN
    op.execute(
        "INSERT INTO users (id, account, role) VALUES ('00000000-0000-7000-8000-000000000001', 'admin', 'admin')"
    )


def downgrade() -> None:
    op.drop_table("uploads")
    op.drop_table("loose_objects")
    op.drop_table("link_contents")
    op.drop_table("batches")
    op.drop_table("tasks")
    op.drop_table("renditions")
    op.drop_table("links")
    op.drop_table("images")
    op.drop_table("users")
    op.drop_table("stats_deltas")
    op.drop_table("stats_counts")
    op.drop_table("blobs")
