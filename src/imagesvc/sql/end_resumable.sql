-- end_resumable: ends a resumable upload: refused, terminated by the client, or expired.
--
-- The upload becomes `refused` and keeps the problem for later requests. Its keys go to loose_objects and its
-- reservation goes back to the link, each exactly once: the state is left once, under the locks below. An upload that
-- is `done` can be ended too: it loses its result, and the image stays.
--
-- Parameters, in order
--   f_id              id of the upload
--   f_epoch           only if the upload has this epoch; NULL: any
--   f_states          only if the upload is in one of these states
--   f_only_expired    only if the upload has expired
--   f_problem         problem document (RFC 9457) that later requests are answered with
--   f_keep_seconds    for how many seconds the result is kept
--   f_margin_seconds  the reaper leaves the keys alone for so many seconds: an S3 request that was allowed before may
--                     still begin
--   f_task, f_lease   task to delete in the same transaction, and the token of its lease; both NULL: none
--
-- Locks, in this order: the link's row (FOR NO KEY UPDATE), the upload's row (FOR NO KEY UPDATE), the task; then it
-- inserts the loose objects. The loose objects are inserted before the task is deleted. That is safe: no other
-- transaction inserts these keys, and a transaction that holds the task's lock waits for nothing.
--
-- Returns true when the upload was ended, false when it did not meet the conditions (the task is deleted in both
-- cases).
--
-- Raises IM002, and rolls back, when f_task does not have this lease any more.
--
-- Called by: uploads/tus/queries.py, uploads/tus/abort.py, finish_resumable.

CREATE OR REPLACE FUNCTION end_resumable(
    f_id uuid,
    f_epoch bigint,
    f_states text[],
    f_only_expired boolean,
    f_problem jsonb,
    f_keep_seconds double precision,
    f_margin_seconds double precision,
    f_task uuid,
    f_lease uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    ended resumable_uploads;           -- the row before the change
    is_ended boolean;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO ended FROM resumable_uploads r
    WHERE r.id = f_id AND r.state = ANY(f_states) AND (f_epoch IS NULL OR r.epoch = f_epoch)
      AND (NOT f_only_expired OR r.expires_at <= now()) FOR NO KEY UPDATE;
    is_ended := FOUND;

    IF is_ended THEN
        IF ended.state IN ('receiving', 'finishing') THEN
            UPDATE links l SET reserved_files = l.reserved_files - 1, reserved_bytes = l.reserved_bytes - ended.length
            WHERE l.id = ended.link_id;
        END IF;
        UPDATE resumable_uploads r SET
            state = 'refused', epoch = r.epoch + 1, turn = 'free', problem = f_problem,
            key = NULL, s3_upload_id = NULL, tail_key = NULL, status = NULL, upload_id = NULL, image_id = NULL,
            expires_at = now() + make_interval(secs => f_keep_seconds)
        WHERE r.id = f_id;
        INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
        SELECT gone.key, 'reaping', now() + make_interval(secs => f_margin_seconds), gone.s3_upload_id
        FROM (VALUES (ended.key, ended.s3_upload_id), (ended.tail_key, NULL)) AS gone (key, s3_upload_id)
        WHERE gone.key IS NOT NULL;
    END IF;

    IF f_task IS NOT NULL THEN
        DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002';
        END IF;
    END IF;
    RETURN is_ended;
END $$;
