-- finish_resumable: admits a complete resumable upload and ends its task, in one transaction.
--
-- The caller has read the stored object once and knows its hash. This function hands the object's key and the link's
-- reservation to admit_file. The upload becomes `done`, or `refused` when admission refuses it. The function can be
-- called again after a lost answer: the lease and the state `finishing` let only one call succeed.
--
-- Parameters, in order
--   f_id              id of the upload
--   f_task, f_lease   the task `finish_resumable`, and the token of its lease
--   f_scope           as in admit_file
--   f_sha256          SHA-256 of the content
--   f_media_type      media type, determined from the content
--   f_upload, f_image, f_blob, f_process_task
--                     ids for what admission inserts; f_process_task is f_task of admit_file
--   f_problems        problem documents (RFC 9457) by outcome: the outcomes of admit_file that refuse the upload
--   f_keep_seconds    for how many seconds the result is kept
--   f_margin_seconds  the reaper leaves a key that is not used alone for so many seconds: an S3 request that was
--                     allowed before may still begin
--
-- Locks, in this order: the link's row (FOR NO KEY UPDATE), the upload's row (FOR NO KEY UPDATE), then those of
--   admit_file (blob, image, upload, task, loose object), and the task f_task last. The held row that is inserted for
--   admit_file has a key that no other transaction names. A transaction that holds f_task waits for nothing.
--
-- Returns one row (outcome, task_id)
--   created, duplicate  admitted; task_id is the processing task to wake, or NULL
--   a key of f_problems refused; the upload keeps the problem
--   not-finishing       the upload has ended already; only the task is deleted
--
-- Raises (everything is rolled back)
--   IM002               f_task does not have this lease any more: another worker has the task
--   raise_exception     admit_file returned an outcome that is not in f_problems
--   and what admit_file raises.
--
-- Called by: uploads/tus/queries.py.

CREATE OR REPLACE FUNCTION finish_resumable(
    f_id uuid,
    f_task uuid,
    f_lease uuid,
    f_scope uuid,
    f_sha256 bytea,
    f_media_type text,
    f_upload uuid,
    f_image uuid,
    f_blob uuid,
    f_process_task uuid,
    f_problems jsonb,
    f_keep_seconds double precision,
    f_margin_seconds double precision,
    OUT outcome text,
    OUT task_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    complete resumable_uploads;
    own_key text;                      -- the object that holds the whole content
    unused_key text;
    unused_upload text;                -- the S3 multipart upload of unused_key
    admitted record;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO complete FROM resumable_uploads r WHERE r.id = f_id AND r.state = 'finishing' FOR NO KEY UPDATE;
    IF FOUND THEN
        -- An upload without parts is its tail: one object, no multipart upload.
        IF jsonb_array_length(complete.parts) > 0 THEN
            own_key := complete.key;
            unused_key := complete.tail_key;
        ELSE
            own_key := complete.tail_key;
            unused_key := complete.key;
            unused_upload := complete.s3_upload_id;
        END IF;

        -- admit_file expects the key and its reservation on a held row. No other transaction ever sees this row.
        INSERT INTO loose_objects (key, state, not_before, link_id, reserved_files, reserved_bytes)
        SELECT own_key, 'held', now(), complete.link_id,
               (complete.link_id IS NOT NULL)::int, CASE WHEN complete.link_id IS NULL THEN 0 ELSE complete.length END;
        SELECT * INTO admitted FROM admit_file(
            f_upload => f_upload, f_image => f_image, f_blob => f_blob, f_task => f_process_task, f_batch => NULL,
            f_position => 0, f_owner => complete.owner_id, f_scope => f_scope, f_link => complete.link_id,
            f_way => 'tus', f_sha256 => f_sha256, f_bytes => complete.length, f_media_type => f_media_type,
            f_key => own_key,
            f_filename => complete.context ->> 'filename', f_title => complete.context ->> 'title',
            f_description => complete.context ->> 'description', f_visibility => complete.context ->> 'visibility',
            f_captured_at => (complete.context ->> 'captured_at')::timestamptz,
            f_store_id => complete.context ->> 'store_id', f_store_name => complete.context ->> 'store_name',
            f_camera_id => complete.context ->> 'camera_id', f_barcode => complete.context ->> 'barcode');
        outcome := admitted.outcome;

        IF outcome IN ('created', 'duplicate') THEN
            task_id := admitted.task_id;
            UPDATE resumable_uploads r SET
                state = 'done', status = outcome, upload_id = f_upload, image_id = admitted.image_id,
                key = NULL, s3_upload_id = NULL, tail_key = NULL, media_type = f_media_type,
                expires_at = now() + make_interval(secs => f_keep_seconds)
            WHERE r.id = f_id;
            IF unused_key IS NOT NULL THEN
                INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
                VALUES (unused_key, 'reaping', now() + make_interval(secs => f_margin_seconds), unused_upload);
            END IF;
        ELSIF f_problems ? outcome THEN
            -- admit_file has written nothing. The key goes back to the upload, so that it ends like any other.
            DELETE FROM loose_objects l WHERE l.key = own_key;
            PERFORM end_resumable(
                f_id, NULL, '{finishing}', false, f_problems -> outcome, f_keep_seconds, f_margin_seconds, NULL, NULL);
        ELSE
            RAISE EXCEPTION 'admission answered %', outcome;
        END IF;
    ELSE
        outcome := 'not-finishing';
    END IF;

    DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002';
    END IF;
END $$;
