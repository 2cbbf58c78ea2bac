"""Add the sessions of the dashboard and an index for its list of resizes, and count images by score.

`stats_of_images` also counts images by the tenth of their score (kind `score`, names 0 to 90). Existing images are counted
here, while the table is locked against writes, so that none is counted twice.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261126c"
down_revision = "20261126b"
branch_labels = None
depends_on = None

TRIGGER = """CREATE OR REPLACE TRIGGER images_stats AFTER INSERT OR DELETE OR UPDATE OF state, media_type, camera{score} ON images
FOR EACH ROW EXECUTE FUNCTION stats_of_images()"""

FUNCTION = """CREATE OR REPLACE FUNCTION stats_of_images() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_counted boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_counted boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was_counted AND is_counted
        AND OLD.media_type = NEW.media_type AND OLD.camera IS NOT DISTINCT FROM NEW.camera AND OLD.score = NEW.score
    THEN
        RETURN NULL;
    END IF;
    IF was_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', OLD.media_type, -1), ('camera', coalesce(OLD.camera, ''), -1);
        IF OLD.score >= 0 THEN
            INSERT INTO stats_deltas (kind, name, count) VALUES ('score', least(OLD.score / 10 * 10, 90)::text, -1);
        END IF;
    END IF;
    IF is_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', NEW.media_type, 1), ('camera', coalesce(NEW.camera, ''), 1);
        IF NEW.score >= 0 THEN
            INSERT INTO stats_deltas (kind, name, count) VALUES ('score', least(NEW.score / 10 * 10, 90)::text, 1);
        END IF;
    END IF;
    -- The uploads follow the image. Inserts and deletes of uploads have a trigger of their own.
    IF TG_OP = 'UPDATE' AND was_counted <> is_counted THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        SELECT change.kind, change.name,
               CASE WHEN is_counted THEN 1 ELSE -1 END,
               CASE WHEN is_counted THEN change.bytes ELSE -change.bytes END
        FROM uploads u
        CROSS JOIN LATERAL (
            VALUES ('quarter', stats_quarter(u.received_at), 0), ('uploads', '', u.bytes)
        ) AS change (kind, name, bytes)
        WHERE u.image_id = NEW.id;
    END IF;
    RETURN NULL;
END $$"""

FUNCTION_BEFORE = """CREATE OR REPLACE FUNCTION stats_of_images() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_counted boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_counted boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was_counted AND is_counted
        AND OLD.media_type = NEW.media_type AND OLD.camera IS NOT DISTINCT FROM NEW.camera
    THEN
        RETURN NULL;
    END IF;
    IF was_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', OLD.media_type, -1), ('camera', coalesce(OLD.camera, ''), -1);
    END IF;
    IF is_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', NEW.media_type, 1), ('camera', coalesce(NEW.camera, ''), 1);
    END IF;
    -- The uploads follow the image. Inserts and deletes of uploads have a trigger of their own.
    IF TG_OP = 'UPDATE' AND was_counted <> is_counted THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        SELECT change.kind, change.name,
               CASE WHEN is_counted THEN 1 ELSE -1 END,
               CASE WHEN is_counted THEN change.bytes ELSE -change.bytes END
        FROM uploads u
        CROSS JOIN LATERAL (
            VALUES ('quarter', stats_quarter(u.received_at), 0), ('uploads', '', u.bytes)
        ) AS change (kind, name, bytes)
        WHERE u.image_id = NEW.id;
    END IF;
    RETURN NULL;
END $$"""

COUNT_EXISTING = """
    INSERT INTO stats_counts (kind, name, count)
    SELECT 'score', least(score / 10 * 10, 90)::text, count(*) FROM images
    WHERE state <> 'rejected' AND score >= 0 GROUP BY 2
"""


def upgrade() -> None:
    op.create_table(
        "web_sessions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("token_generation", sa.BigInteger(), nullable=False),
        sa.Column("admin_token_digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("web_sessions_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("web_sessions_pkey")),
    )
    op.create_index(op.f("web_sessions_user_id_idx"), "web_sessions", ["user_id"])
    op.create_index(op.f("web_sessions_expires_at_idx"), "web_sessions", ["expires_at"])
    op.create_index(op.f("resizes_owner_id_created_at_idx"), "resizes", ["owner_id", "created_at"])
    op.execute("LOCK TABLE images IN SHARE ROW EXCLUSIVE MODE")
    op.execute(COUNT_EXISTING)
    op.execute(FUNCTION)
    op.execute(TRIGGER.format(score=", score"))


def downgrade() -> None:
    op.execute("LOCK TABLE images IN SHARE ROW EXCLUSIVE MODE")
    op.execute(TRIGGER.format(score=""))
    op.execute(FUNCTION_BEFORE)
    op.execute("DELETE FROM stats_deltas WHERE kind = 'score'")
    op.execute("DELETE FROM stats_counts WHERE kind = 'score'")
    op.drop_index(op.f("resizes_owner_id_created_at_idx"), table_name="resizes")
    op.drop_table("web_sessions")
