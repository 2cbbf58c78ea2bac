"""Add finish_processing: the end of a task that processed an image, as one statement instead of a dozen."""

from alembic import op

revision = "20261201b"
down_revision = "20261201a"
branch_labels = None
depends_on = None

FINISH_PROCESSING = """CREATE OR REPLACE FUNCTION finish_processing(
    f_task uuid,
    f_lease uuid,
    f_blob uuid,
    f_image uuid,
    f_key text,
    f_state text,
    f_problem jsonb,
    f_columns jsonb,
    f_renditions jsonb,
    f_score bigint,
    f_minutes bigint,
    f_source text,
    f_utc timestamptz,
    f_needs_zone boolean,
    f_zone text,
    OUT outcome text,
    OUT zone text
) LANGUAGE plpgsql AS $$
DECLARE
    blob blobs;
BEGIN
    outcome := 'other';
    SELECT * INTO blob FROM blobs b WHERE b.id = f_blob FOR UPDATE;
    IF blob.state IS DISTINCT FROM 'pending' OR blob.key <> f_key THEN
        RETURN;
    END IF;
    PERFORM FROM images i WHERE i.id = f_image FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF f_needs_zone THEN
        SELECT s.time_zone INTO zone FROM uploads u JOIN stores s ON s.id = u.store_id
        WHERE u.image_id = f_image AND s.time_zone IS NOT NULL ORDER BY u.id LIMIT 1;
        IF zone IS DISTINCT FROM f_zone THEN
            outcome := 'zone-changed';
            RETURN;
        END IF;
    END IF;

    blob := jsonb_populate_record(blob, f_columns);
    UPDATE blobs b SET
        state = f_state, problem = f_problem, processed_at = now(), media_type = blob.media_type,
        width = blob.width, height = blob.height, stored_width = blob.stored_width, stored_height = blob.stored_height,
        orientation = blob.orientation, frames = blob.frames, color_mode = blob.color_mode,
        has_icc_profile = blob.has_icc_profile, camera = blob.camera, camera_make = blob.camera_make,
        camera_model = blob.camera_model, camera_make_raw = blob.camera_make_raw,
        camera_model_raw = blob.camera_model_raw, lens = blob.lens, f_number = blob.f_number,
        exposure_seconds = blob.exposure_seconds, iso = blob.iso, focal_length_mm = blob.focal_length_mm,
        captured_local = blob.captured_local, captured_offset_minutes = blob.captured_offset_minutes,
        captured_offset_source = blob.captured_offset_source, latitude = blob.latitude, longitude = blob.longitude,
        altitude_m = blob.altitude_m, perceptual_hash = blob.perceptual_hash, score = blob.score, notes = blob.notes
    WHERE b.id = f_blob;
    IF f_state = 'ready' AND blob.perceptual_hash IS NOT NULL THEN
        INSERT INTO perceptual_hashes AS p (blob_id, hash) VALUES (f_blob, blob.perceptual_hash)
        ON CONFLICT (blob_id) DO UPDATE SET hash = EXCLUDED.hash;
    END IF;
    INSERT INTO renditions (blob_id, preset, format, key, width, height, sha256, bytes)
    SELECT f_blob, r.preset, r.format, r.key, r.width, r.height, decode(r.sha256, 'hex'), r.bytes
    FROM jsonb_to_recordset(f_renditions)
        AS r (preset text, format text, key text, width bigint, height bigint, sha256 text, bytes bigint);

    UPDATE images i SET
        state = f_state, problem = f_problem, updated_at = now(), media_type = blob.media_type, camera = blob.camera,
        score = f_score, latitude = blob.latitude, longitude = blob.longitude, captured_local = blob.captured_local,
        captured_offset_minutes = f_minutes, captured_offset_source = f_source, captured_utc = f_utc
    WHERE i.id = f_image;
    UPDATE uploads u SET settled = true WHERE u.image_id = f_image AND NOT u.settled;

    DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002';
    END IF;
    WITH taken AS (
        DELETE FROM loose_objects l
        WHERE l.state = 'held' AND l.key IN (SELECT r ->> 'key' FROM jsonb_array_elements(f_renditions) AS r)
        RETURNING 1
    )
    SELECT CASE WHEN count(*) = jsonb_array_length(f_renditions) THEN 'done' ELSE 'reaped' END INTO outcome FROM taken;
    IF outcome = 'reaped' THEN
        RAISE EXCEPTION 'a key was reaped' USING ERRCODE = 'IM001';
    END IF;
END $$;"""

PARAMETERS = "uuid, uuid, uuid, uuid, text, text, jsonb, jsonb, jsonb, bigint, bigint, text, timestamptz, boolean, text"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(FINISH_PROCESSING)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION finish_processing({PARAMETERS})")
