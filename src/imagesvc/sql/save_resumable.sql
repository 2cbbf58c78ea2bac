-- save_resumable: counts the bytes that a request of a resumable upload has stored.
--
-- Bytes count only once this function has committed. When they complete the upload, its state becomes `finishing` and
-- the task `finish_resumable` is inserted in the same transaction, so a crash afterwards loses nothing.
--
-- Parameters, in order
--   f_id            id of the upload
--   f_epoch         epoch of the request; a request that a newer one has replaced finds no row
--   f_from          offset before the new bytes: a repeated call, after a lost answer, finds no row and counts once
--   f_parts         new S3 parts, a list of [number, etag, bytes]; they follow the saved ones and start with the bytes
--                   of the old tail
--   f_tail_key      key of the new tail, which has a `held` row; NULL: no tail
--   f_tail_bytes    size of the new tail, which follows the parts
--   f_media_type    media type, determined from the first bytes
--   f_is_last       whether the request ends with this call and gives up its turn
--   f_task          id for the task that finishes the upload
--   f_idle_seconds  the upload expires after so many seconds without a request, but
--   f_max_seconds   at the latest so many seconds after its creation
--
-- Locks, in this order: the upload's row (FOR NO KEY UPDATE); it inserts the task; then the loose object of f_tail_key.
--
-- Returns one row (state, upload_offset, expires_at), the upload after the change. All are NULL, and nothing is
-- written, when the upload is not `receiving` under this epoch at this offset.
--
-- Raises IM001, and rolls back, when the reaper has claimed f_tail_key.
--
-- Called by: uploads/tus/queries.py.

CREATE OR REPLACE FUNCTION save_resumable(
    f_id uuid,
    f_epoch bigint,
    f_from bigint,
    f_parts jsonb,
    f_tail_key text,
    f_tail_bytes bigint,
    f_media_type text,
    f_is_last boolean,
    f_task uuid,
    f_idle_seconds double precision,
    f_max_seconds double precision,
    OUT state text,
    OUT upload_offset bigint,
    OUT expires_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    old_tail text;
    saved resumable_uploads;
BEGIN
    SELECT r.tail_key INTO old_tail FROM resumable_uploads r
    WHERE r.id = f_id AND r.epoch = f_epoch AND r.state = 'receiving' AND r.parts_bytes + r.tail_bytes = f_from
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE resumable_uploads r SET
        parts = r.parts || f_parts,
        parts_bytes = r.parts_bytes
            + (SELECT coalesce(sum((part ->> 2)::bigint), 0) FROM jsonb_array_elements(f_parts) AS part),
        tail_key = f_tail_key, tail_bytes = f_tail_bytes, media_type = f_media_type,
        turn = CASE WHEN f_is_last THEN 'free' ELSE r.turn END,
        expires_at = least(now() + make_interval(secs => f_idle_seconds),
                           r.created_at + make_interval(secs => f_max_seconds))
    WHERE r.id = f_id RETURNING * INTO saved;
    IF saved.parts_bytes + saved.tail_bytes = saved.length THEN
        UPDATE resumable_uploads r SET state = 'finishing', turn = 'free' WHERE r.id = f_id RETURNING * INTO saved;
        INSERT INTO tasks (id, kind, payload, dedupe_key)
        VALUES (f_task, 'finish_resumable', jsonb_build_object('resumable_id', f_id), 'finish_resumable:' || f_id);
    END IF;

    -- The upload's row names the new tail now; the old tail goes to the reaper.
    IF f_tail_key IS NOT NULL THEN
        DELETE FROM loose_objects l WHERE l.key = f_tail_key AND l.state = 'held';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001';
        END IF;
    END IF;
    IF old_tail IS NOT NULL THEN
        INSERT INTO loose_objects (key, state, not_before) VALUES (old_tail, 'reaping', now());
    END IF;

    state := saved.state;
    upload_offset := saved.parts_bytes + saved.tail_bytes;
    expires_at := saved.expires_at;
END $$;
