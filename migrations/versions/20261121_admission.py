"""Admission as database functions: one round trip, and no row lock waits for a client.

docs/architecture.md describes the protocol. Locks are taken in the order link, blob, image, upload, task, loose object.
The functions return a refusal before they write anything. They raise an error where writes have to be rolled back.
The text below is the first version; src/imagesvc/sql/ has the current one.
"""

from alembic import op

revision = "20261121c"
down_revision = "20261121b"
branch_labels = None
depends_on = None

LINK_ROOM = """
CREATE FUNCTION link_room(link links, wanted_files bigint, wanted_bytes bigint, own_files bigint, own_bytes bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    -- NULL when there is room; own_… is what the caller itself holds in reserve
    SELECT CASE
        WHEN link.used_files + wanted_files > link.max_files OR link.used_bytes >= link.max_bytes THEN 'link-used-up'
        WHEN link.used_bytes + wanted_bytes > link.max_bytes THEN 'link-room-too-small'
        WHEN link.used_files + link.reserved_files - own_files + wanted_files > link.max_files
          OR link.used_bytes + link.reserved_bytes - own_bytes + wanted_bytes > link.max_bytes THEN 'link-reserved'
    END
$$
"""

LOCK_LINK = """
CREATE FUNCTION lock_usable_link(wanted uuid) RETURNS SETOF links LANGUAGE sql AS $$
    SELECT l.* FROM links l JOIN users u ON u.id = l.owner_id
    WHERE l.id = wanted AND l.revoked_at IS NULL AND u.disabled_at IS NULL
    FOR NO KEY UPDATE OF l
$$
"""

RESERVE = """
CREATE FUNCTION reserve_on_link(
    f_link uuid, f_key text, f_s3_upload_id text, f_bytes bigint, f_is_exact boolean, f_seconds double precision
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    link links;
    refusal text;
BEGIN
    SELECT * INTO link FROM lock_usable_link(f_link);
    IF NOT FOUND THEN RETURN 'link-revoked'; END IF;
    -- a file of unknown size can take no more than what is left; whether it fits is known when it is there
    IF NOT f_is_exact THEN f_bytes := least(f_bytes, link.max_bytes - link.used_bytes); END IF;
    refusal := link_room(link, 1, f_bytes, 0, 0);
    IF refusal IS NOT NULL THEN RETURN refusal; END IF;
    UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_bytes WHERE id = f_link;
    INSERT INTO loose_objects (key, state, not_before, s3_upload_id, link_id, reserved_files, reserved_bytes)
    VALUES (f_key, 'held', now() + make_interval(secs => f_seconds), f_s3_upload_id, f_link, 1, f_bytes);
    RETURN NULL;
END $$
"""

ADMIT = """
CREATE FUNCTION admit_file(
    f_upload uuid, f_image uuid, f_blob uuid, f_task uuid, f_batch uuid, f_position bigint,
    f_owner uuid, f_scope uuid, f_link uuid, f_way text,
    f_sha256 bytea, f_bytes bigint, f_media_type text, f_key text,
    f_filename text, f_title text, f_description text, f_visibility text,
    f_captured_at timestamptz, f_store_id text, f_store_name text, f_camera_id text, f_barcode text,
    OUT outcome text, OUT image_id uuid, OUT task_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    link links;
    blob blobs;
    held loose_objects;
    own_files bigint := 0;
    own_bytes bigint := 0;
    charged boolean := false;      -- this link pays for this file now
    key_used boolean := false;
    image_new boolean := false;
    image_state text;
    duplicate boolean;
    work boolean;
BEGIN
    IF f_key IS NOT NULL THEN
        SELECT l.reserved_files, l.reserved_bytes INTO own_files, own_bytes
        FROM loose_objects l WHERE l.key = f_key AND l.state = 'held';
        IF NOT FOUND THEN outcome := 'key-lost'; RETURN; END IF;
    END IF;

    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN outcome := 'link-revoked'; RETURN; END IF;
        -- a statement of its own: its snapshot is younger than the lock
        charged := NOT EXISTS (SELECT FROM link_contents c WHERE c.link_id = f_link AND c.sha256 = f_sha256);
        IF charged THEN
            outcome := link_room(link, 1, f_bytes, own_files, own_bytes);
            IF outcome IS NOT NULL THEN RETURN; END IF;
        END IF;
    END IF;

    LOOP
        IF f_key IS NOT NULL THEN
            INSERT INTO blobs (id, sha256, scope, bytes, media_type, key)
            VALUES (f_blob, f_sha256, f_scope, f_bytes, f_media_type, f_key)
            ON CONFLICT (sha256, scope) DO NOTHING RETURNING * INTO blob;
            key_used := FOUND;
            EXIT WHEN key_used;
        END IF;
        SELECT * INTO blob FROM blobs b WHERE b.sha256 = f_sha256 AND b.scope = f_scope FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- the row that stood in the way was deleted while we waited for it: with a key we try again
        IF f_key IS NULL THEN outcome := 'need-key'; RETURN; END IF;
    END LOOP;
    IF NOT key_used AND (blob.state = 'failed' OR blob.object_lost) THEN
        IF f_key IS NULL THEN outcome := 'need-key'; RETURN; END IF;
        INSERT INTO loose_objects (key, state, not_before) VALUES (blob.key, 'reaping', now());
        UPDATE blobs SET key = f_key, object_lost = false,
            state = CASE state WHEN 'failed' THEN 'pending' ELSE state END,
            problem = CASE state WHEN 'failed' THEN NULL ELSE problem END
        WHERE id = blob.id RETURNING * INTO blob;
        key_used := true;
    END IF;

    INSERT INTO images AS i (id, owner_id, blob_id, visibility, title, description, media_type)
    VALUES (f_image, f_owner, blob.id, f_visibility, f_title, f_description, blob.media_type)
    ON CONFLICT ON CONSTRAINT images_owner_id_blob_id_key DO NOTHING RETURNING i.id, i.state INTO image_id, image_state;
    image_new := FOUND;
    IF NOT image_new THEN
        SELECT i.id, i.state INTO image_id, image_state FROM images i
        WHERE i.owner_id = f_owner AND i.blob_id = blob.id FOR NO KEY UPDATE;
    END IF;
    work := image_new;
    IF image_state = 'failed' AND blob.state <> 'failed' THEN
        UPDATE images SET state = 'pending', problem = NULL, updated_at = now() WHERE id = image_id;
        work := true;
    END IF;
    duplicate := CASE WHEN f_link IS NULL THEN NOT image_new ELSE NOT charged END;
    -- what is new to the link is worked on, even when the owner knew it: the receipt must not tell the difference
    work := work OR NOT duplicate;

    IF f_batch IS NOT NULL THEN
        INSERT INTO batches (id, owner_id, link_id, way) VALUES (f_batch, f_owner, f_link, f_way) ON CONFLICT (id) DO NOTHING;
    END IF;
    INSERT INTO uploads (id, owner_id, image_id, link_id, batch_id, position, way, filename, bytes, duplicate, settled,
                         captured_at, store_id, store_name, camera_id, barcode)
    SELECT f_upload, f_owner, admit_file.image_id, f_link, f_batch, f_position, f_way, f_filename, f_bytes, duplicate,
           NOT work AND NOT EXISTS (SELECT FROM uploads u WHERE u.image_id = admit_file.image_id AND NOT u.settled),
           f_captured_at, f_store_id, f_store_name, f_camera_id, f_barcode;
    IF work THEN
        INSERT INTO tasks (id, kind, blob_id, image_id) VALUES (f_task, 'process_image', blob.id, image_id);
        task_id := f_task;
    END IF;

    IF f_key IS NOT NULL AND (key_used OR own_files > 0) THEN
        SELECT * INTO held FROM loose_objects l WHERE l.key = f_key AND l.state = 'held' FOR UPDATE;
        IF NOT FOUND THEN RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001'; END IF;
    END IF;
    IF key_used THEN
        DELETE FROM loose_objects l WHERE l.key = f_key;
    ELSIF f_key IS NOT NULL THEN
        UPDATE loose_objects l SET state = 'reaping', not_before = now(), link_id = NULL, reserved_files = 0, reserved_bytes = 0
        WHERE l.key = f_key AND l.state = 'held';
    END IF;
    IF charged THEN
        INSERT INTO link_contents (link_id, sha256, bytes) VALUES (f_link, f_sha256, f_bytes);
    END IF;
    IF charged OR own_files > 0 THEN
        UPDATE links l SET used_files = l.used_files + charged::int, used_bytes = l.used_bytes + charged::int * f_bytes,
            reserved_files = l.reserved_files - own_files, reserved_bytes = l.reserved_bytes - own_bytes
        WHERE l.id = f_link;
    END IF;
    outcome := CASE WHEN duplicate THEN 'duplicate' ELSE 'created' END;
END $$
"""

FUNCTIONS = {
    "link_room(links, bigint, bigint, bigint, bigint)": LINK_ROOM,
    "lock_usable_link(uuid)": LOCK_LINK,
    "reserve_on_link(uuid, text, text, bigint, boolean, double precision)": RESERVE,
    "admit_file": ADMIT,
}


def upgrade() -> None:
    for text in FUNCTIONS.values():
        op.execute(text)


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
