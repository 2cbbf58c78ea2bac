"""Resumable uploads (tus): their table, and their transactions as database functions (docs/decisions/0001).

docs/resumable.md describes the protocol. Locks are taken in the order link, resumable upload, …, task, loose object; the
task `finish_resumable` is always locked last. The text below is the first version; src/imagesvc/sql/ has the current one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121f"
down_revision = "20261121e"
branch_labels = None
depends_on = None

CREATE = """
CREATE FUNCTION create_resumable(
    f_id uuid, f_owner uuid, f_link uuid, f_length bigint, f_metadata text, f_context jsonb, f_sha256 bytea, f_turn text,
    f_idle_seconds double precision, f_most_unfinished bigint,
    OUT refusal text, OUT expires_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    link links;
BEGIN
    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN refusal := 'link-revoked'; RETURN; END IF;
        refusal := link_room(link, 1, f_length, 0, 0);
        IF refusal IS NOT NULL THEN RETURN; END IF;
    END IF;
    -- a bound against hoarding: without the owner's lock it may be passed by as many as create at the same moment
    IF f_most_unfinished <= (SELECT count(*) FROM (
        SELECT FROM resumable_uploads r
        WHERE r.owner_id = f_owner AND r.link_id IS NOT DISTINCT FROM f_link AND r.state IN ('receiving', 'finishing')
        LIMIT f_most_unfinished) AS unfinished)
    THEN refusal := 'too-many-unfinished'; RETURN; END IF;
    IF f_link IS NOT NULL THEN
        UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_length WHERE id = f_link;
    END IF;
    INSERT INTO resumable_uploads AS r (id, owner_id, link_id, length, metadata, context, expected_sha256, turn, expires_at)
    VALUES (f_id, f_owner, f_link, f_length, f_metadata, f_context, f_sha256, f_turn, now() + make_interval(secs => f_idle_seconds))
    RETURNING r.expires_at INTO expires_at;
END $$
"""

SAVE = """
CREATE FUNCTION save_resumable(
    f_id uuid, f_epoch bigint, f_from bigint, f_parts jsonb, f_tail_key text, f_tail_bytes bigint, f_media_type text, f_is_last boolean,
    f_task uuid, f_idle_seconds double precision, f_max_seconds double precision,
    OUT state text, OUT upload_offset bigint, OUT expires_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    old_tail text;
    present resumable_uploads;
BEGIN
    -- f_parts come after those there are and begin with the old tail; the new tail, if any, comes after them.
    -- f_from: the same call again, after a lost answer, must not count twice
    SELECT r.tail_key INTO old_tail FROM resumable_uploads r
    WHERE r.id = f_id AND r.epoch = f_epoch AND r.state = 'receiving' AND r.parts_bytes + r.tail_bytes = f_from
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    UPDATE resumable_uploads r SET
        parts = r.parts || f_parts,
        parts_bytes = r.parts_bytes + (SELECT coalesce(sum((part ->> 2)::bigint), 0) FROM jsonb_array_elements(f_parts) AS part),
        tail_key = f_tail_key, tail_bytes = f_tail_bytes, media_type = f_media_type,
        turn = CASE WHEN f_is_last THEN 'free' ELSE r.turn END,
        expires_at = least(now() + make_interval(secs => f_idle_seconds), r.created_at + make_interval(secs => f_max_seconds))
    WHERE r.id = f_id RETURNING * INTO present;
    IF present.parts_bytes + present.tail_bytes = present.length THEN
        UPDATE resumable_uploads r SET state = 'finishing', turn = 'free' WHERE r.id = f_id RETURNING * INTO present;
        INSERT INTO tasks (id, kind, payload, dedupe_key)
        VALUES (f_task, 'finish_resumable', jsonb_build_object('resumable_id', f_id), 'finish_resumable:' || f_id);
    END IF;
    IF f_tail_key IS NOT NULL THEN
        DELETE FROM loose_objects l WHERE l.key = f_tail_key AND l.state = 'held';
        IF NOT FOUND THEN RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001'; END IF;
    END IF;
    IF old_tail IS NOT NULL THEN
        INSERT INTO loose_objects (key, state, not_before) VALUES (old_tail, 'reaping', now());
    END IF;
    state := present.state;
    upload_offset := present.parts_bytes + present.tail_bytes;
    expires_at := present.expires_at;
END $$
"""

END = """
CREATE FUNCTION end_resumable(
    f_id uuid, f_epoch bigint, f_states text[], f_only_expired boolean, f_problem jsonb,
    f_keep_seconds double precision, f_margin_seconds double precision, f_task uuid, f_lease uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    present resumable_uploads;
    is_ended boolean;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO present FROM resumable_uploads r
    WHERE r.id = f_id AND r.state = ANY(f_states) AND (f_epoch IS NULL OR r.epoch = f_epoch)
      AND (NOT f_only_expired OR r.expires_at <= now()) FOR NO KEY UPDATE;
    is_ended := FOUND;
    IF is_ended THEN
        IF present.state IN ('receiving', 'finishing') THEN
            UPDATE links l SET reserved_files = l.reserved_files - 1, reserved_bytes = l.reserved_bytes - present.length
            WHERE l.id = present.link_id;
        END IF;
        UPDATE resumable_uploads r SET state = 'refused', epoch = r.epoch + 1, turn = 'free', problem = f_problem,
            key = NULL, s3_upload_id = NULL, tail_key = NULL, status = NULL, upload_id = NULL, image_id = NULL,
            expires_at = now() + make_interval(secs => f_keep_seconds)
        WHERE r.id = f_id;
        -- a request for these keys may still begin within the margin
        INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
        SELECT gone.key, 'reaping', now() + make_interval(secs => f_margin_seconds), gone.s3_upload_id
        FROM (VALUES (present.key, present.s3_upload_id), (present.tail_key, NULL)) AS gone (key, s3_upload_id)
        WHERE gone.key IS NOT NULL;
    END IF;
    IF f_task IS NOT NULL THEN
        DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
        IF NOT FOUND THEN RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002'; END IF;
    END IF;
    RETURN is_ended;
END $$
"""

FINISH = """
CREATE FUNCTION finish_resumable(
    f_id uuid, f_task uuid, f_lease uuid, f_scope uuid, f_sha256 bytea, f_media_type text,
    f_upload uuid, f_image uuid, f_blob uuid, f_process_task uuid,
    f_problems jsonb, f_keep_seconds double precision, f_margin_seconds double precision,
    OUT outcome text, OUT task_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    present resumable_uploads;
    own_key text;
    unused_key text;
    unused_upload text;
    admitted record;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO present FROM resumable_uploads r WHERE r.id = f_id AND r.state = 'finishing' FOR NO KEY UPDATE;
    IF FOUND THEN
        IF jsonb_array_length(present.parts) > 0 THEN
            own_key := present.key; unused_key := present.tail_key;
        ELSE
            own_key := present.tail_key; unused_key := present.key; unused_upload := present.s3_upload_id;
        END IF;
        -- the key and its reservation go over to a held row, as admission wants them; nobody else ever sees that row
        INSERT INTO loose_objects (key, state, not_before, link_id, reserved_files, reserved_bytes)
        SELECT own_key, 'held', now(), present.link_id,
               (present.link_id IS NOT NULL)::int, CASE WHEN present.link_id IS NULL THEN 0 ELSE present.length END;
        SELECT * INTO admitted FROM admit_file(
            f_upload => f_upload, f_image => f_image, f_blob => f_blob, f_task => f_process_task, f_batch => NULL,
            f_position => 0, f_owner => present.owner_id, f_scope => f_scope, f_link => present.link_id, f_way => 'tus',
            f_sha256 => f_sha256, f_bytes => present.length, f_media_type => f_media_type, f_key => own_key,
            f_filename => present.context ->> 'filename', f_title => present.context ->> 'title',
            f_description => present.context ->> 'description', f_visibility => present.context ->> 'visibility',
            f_captured_at => (present.context ->> 'captured_at')::timestamptz,
            f_store_id => present.context ->> 'store_id', f_store_name => present.context ->> 'store_name',
            f_camera_id => present.context ->> 'camera_id', f_barcode => present.context ->> 'barcode');
        outcome := admitted.outcome;
        IF outcome IN ('created', 'duplicate') THEN
            task_id := admitted.task_id;
            UPDATE resumable_uploads r SET state = 'done', status = outcome, upload_id = f_upload, image_id = admitted.image_id,
                key = NULL, s3_upload_id = NULL, tail_key = NULL, media_type = f_media_type,
                expires_at = now() + make_interval(secs => f_keep_seconds)
            WHERE r.id = f_id;
            IF unused_key IS NOT NULL THEN
                INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
                VALUES (unused_key, 'reaping', now() + make_interval(secs => f_margin_seconds), unused_upload);
            END IF;
        ELSIF f_problems ? outcome THEN
            -- refused before anything was written: the key goes back, so that the upload ends like any other
            DELETE FROM loose_objects l WHERE l.key = own_key;
            PERFORM end_resumable(f_id, NULL, '{finishing}', false, f_problems -> outcome, f_keep_seconds, f_margin_seconds, NULL, NULL);
        ELSE
            RAISE EXCEPTION 'admission answered %', outcome;
        END IF;
    ELSE
        outcome := 'not-finishing';
    END IF;
    DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
    IF NOT FOUND THEN RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002'; END IF;
END $$
"""

FUNCTIONS = {"create_resumable": CREATE, "save_resumable": SAVE, "end_resumable": END, "finish_resumable": FINISH}


def upgrade() -> None:
    op.create_table(
        "resumable_uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), server_default="receiving", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("turn", sa.Text(), server_default="free", nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expected_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("s3_upload_id", sa.Text(), nullable=True),
        sa.Column("next_part", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "parts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("parts_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tail_key", sa.Text(), nullable=True),
        sa.Column("tail_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("image_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('receiving', 'finishing', 'done', 'refused')", name=op.f("resumable_uploads_state_check")
        ),
        sa.CheckConstraint("turn IN ('free', 'taken', 'wanted')", name=op.f("resumable_uploads_turn_check")),
        sa.CheckConstraint("parts_bytes + tail_bytes <= length", name=op.f("resumable_uploads_offset_check")),
        sa.CheckConstraint(
            "(key IS NULL AND tail_key IS NULL) OR state IN ('receiving', 'finishing')",
            name=op.f("resumable_uploads_keys_check"),
        ),
        sa.CheckConstraint("(state = 'done') = (upload_id IS NOT NULL)", name=op.f("resumable_uploads_result_check")),
        sa.CheckConstraint("(state = 'refused') = (problem IS NOT NULL)", name=op.f("resumable_uploads_problem_check")),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("resumable_uploads_link_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("resumable_uploads_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("resumable_uploads_pkey")),
    )
    op.create_index(op.f("resumable_uploads_expires_at_idx"), "resumable_uploads", ["expires_at"], unique=False)
    op.create_index(
        op.f("resumable_uploads_owner_id_link_id_idx"),
        "resumable_uploads",
        ["owner_id", "link_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('receiving', 'finishing')"),
    )
    for text in FUNCTIONS.values():
        op.execute(text)


def downgrade() -> None:
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.drop_table("resumable_uploads")
