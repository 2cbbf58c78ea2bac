"""Admit a resumable upload that one request brought whole in the transaction that counts its bytes."""

from alembic import op

revision = "20261202a"
down_revision = "20261201b"
branch_labels = None
depends_on = None

COMPLETE_RESUMABLE = """CREATE OR REPLACE FUNCTION complete_resumable(
    f_id uuid,
    f_epoch bigint,
    f_from bigint,
    f_tail_key text,
    f_tail_bytes bigint,
    f_media_type text,
    f_task uuid,
    f_idle_seconds double precision,
    f_max_seconds double precision,
    f_scope uuid,
    f_sha256 bytea,
    f_upload uuid,
    f_image uuid,
    f_blob uuid,
    f_process_task uuid,
    f_problems jsonb,
    f_keep_seconds double precision,
    f_margin_seconds double precision,
    OUT state text,
    OUT upload_offset bigint,
    OUT expires_at timestamptz,
    OUT outcome text,
    OUT task_id uuid,
    OUT upload_id uuid,
    OUT image_id uuid
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT s.state, s.upload_offset, s.expires_at INTO state, upload_offset, expires_at
    FROM save_resumable(f_id, f_epoch, f_from, '[]', f_tail_key, f_tail_bytes, f_media_type, true, f_task,
                        f_idle_seconds, f_max_seconds) s;
    IF state IS DISTINCT FROM 'finishing'
       OR (SELECT r.expected_sha256 <> f_sha256 FROM resumable_uploads r WHERE r.id = f_id) THEN
        RETURN;
    END IF;

    UPDATE tasks t SET state = 'running', lease_token = f_task, lease_until = now() WHERE t.id = f_task;
    SELECT f.outcome, f.task_id INTO outcome, task_id
    FROM finish_resumable(f_id, f_task, f_task, f_scope, f_sha256, f_media_type, f_upload, f_image, f_blob,
                          f_process_task, f_problems, f_keep_seconds, f_margin_seconds) f;
    SELECT r.state, r.expires_at, r.upload_id, r.image_id INTO state, expires_at, upload_id, image_id
    FROM resumable_uploads r WHERE r.id = f_id;
END $$;"""


def upgrade() -> None:
    op.execute(COMPLETE_RESUMABLE)


def downgrade() -> None:
    op.execute("DROP FUNCTION complete_resumable")
