-- admit_file: admits one uploaded file. Every way of uploading ends here.
--
-- What it promises
--   * One transaction decides. On `created` or `duplicate` everything is written: the charge on the link, the blob,
--     the image, the upload, the processing task, the statistics (by triggers), and the change of the key's owner from
--     loose_objects to the blob. On any other outcome nothing is written. An error rolls everything back.
--   * One content, one blob: N concurrent calls with the same hash and scope leave one row in blobs.
--   * A link's limits are exact: a link with max_files = 10 admits ten different files, however many calls race. A
--     link is charged once for each content, also when the file is rejected later; a repetition is free.
--   * A key is never owned twice and never lost. It moves from loose_objects to the blob in this transaction, or it is
--     left for the reaper. The key of an object that is replaced goes to the reaper here too.
--   * A duplicate changes nothing about the existing image except the list of its filenames (trigger uploads_names).
--     It adds an upload with its own context. An image that had failed is set back to `pending`.
--   * Through a link, the outcome depends only on what was sent through this link. It does not reveal that the owner
--     or anybody else already has the content.
--
-- Why it is a database function: every statement below runs while the link and the blob are locked. Sent one by one,
--   they would hold the locks for several round trips and for all that the client's event loop does in between
--   (docs/decisions/0001). The function is VOLATILE under READ COMMITTED, so each statement has its own snapshot: the
--   protocol is the same as with single statements. A chain of CTEs would share one snapshot, which is wrong for the
--   look at link_contents.
--
-- Parameters, in order
--   f_upload       id for the new upload; a caller that repeats the call with the same id is admitted once
--   f_image        id for the image, used when the owner does not have this content yet
--   f_blob         id for the blob, used when the scope does not have this content yet
--   f_task         id for the processing task, used when there is something to process
--   f_batch        id of the request's batch, which is inserted with its first admitted file; NULL: no batch
--   f_position     index of the file in its request, from 0
--   f_owner        user who will own the image; through a link, the link's owner
--   f_scope        among which blobs the content is deduplicated: all zeros for all owners, else the owner's id
--   f_link         id of the link; NULL for an upload by a user
--   f_way          how the file was uploaded, as stored in uploads.way
--   f_sha256       SHA-256 of the content
--   f_bytes        size of the content
--   f_media_type   media type, determined from the content
--   f_key          key of the stored object, which has a `held` row in loose_objects (with the link's reservation, if
--                  any); NULL when the caller expects that the blob exists and has stored nothing
--   f_filename     context of the upload, from here on
--   f_title        title of the image, if it is new
--   f_description  description of the image, if it is new; NULL: none
--   f_visibility   visibility of the image, if it is new: `private` or `public`
--   f_captured_at, f_store_id, f_store_name, f_camera_id, f_barcode
--                  what the sender says about the upload; NULL: not given
--
-- Locks, in this order (section 4 of the design: link -> job -> blob -> image -> upload -> task -> loose objects)
--   1. link         FOR NO KEY UPDATE, only with f_link
--   2. blob         inserted, or FOR NO KEY UPDATE
--   3. image        inserted, or FOR NO KEY UPDATE
--   4. batch, upload, task: inserted
--   5. loose object of f_key: FOR UPDATE, or the row lock of its UPDATE
--   The look at loose_objects at the top takes no lock, so step 5 checks the row again. The row that is inserted into
--   loose_objects between 2 and 3 has a key that no other transaction inserts, since the blob is locked. The rows of
--   links and link_contents that are written last are covered by the lock of step 1.
--
-- Returns one row (outcome, image_id, task_id)
--   created          admitted; task_id is the task to wake, or NULL
--   duplicate        admitted, but the same content had arrived before: through a link, by this link; else, for this
--                    owner. task_id is not NULL when the image had failed and is processed again
--   need-key         the blob does not exist, has failed or has lost its object, and f_key is NULL: the caller stores
--                    the content under a key and calls again
--   key-lost         f_key has no `held` row any more: the upload took too long and the reaper has claimed the key
--   link-revoked     the link is revoked, does not exist, or its owner is disabled
--   link-used-up, link-room-too-small, link-reserved
--                    the link has no room (see link_room)
--   Except for the first two, image_id and task_id have no meaning.
--
-- Raises (everything is rolled back)
--   IM001                            the reaper claimed f_key while this call was running; the caller may retry with a
--                                    new key
--   unique_violation, uploads_pkey   an upload with the id f_upload exists: the file is already admitted
--   foreign_key_violation            the owner's account has been removed
--
-- Called by: uploads/queries.py, finish_resumable.

CREATE OR REPLACE FUNCTION admit_file(
    f_upload uuid,
    f_image uuid,
    f_blob uuid,
    f_task uuid,
    f_batch uuid,
    f_position bigint,
    f_owner uuid,
    f_scope uuid,
    f_link uuid,
    f_way text,
    f_sha256 bytea,
    f_bytes bigint,
    f_media_type text,
    f_key text,
    f_filename text,
    f_title text,
    f_description text,
    f_visibility text,
    f_captured_at timestamptz,
    f_store_id text,
    f_store_name text,
    f_camera_id text,
    f_barcode text,
    OUT outcome text,
    OUT image_id uuid,
    OUT task_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    link links;
    blob blobs;
    held loose_objects;
    own_files bigint := 0;             -- what the held row of f_key has reserved on the link
    own_bytes bigint := 0;
    is_charged boolean := false;       -- the link has not paid for this content before and pays now
    key_is_used boolean := false;      -- the blob takes f_key
    is_new_image boolean := false;
    image_state text;
    is_duplicate boolean;
    needs_task boolean;
BEGIN
    IF f_key IS NOT NULL THEN
        SELECT l.reserved_files, l.reserved_bytes INTO own_files, own_bytes
        FROM loose_objects l WHERE l.key = f_key AND l.state = 'held';
        IF NOT FOUND THEN
            outcome := 'key-lost';
            RETURN;
        END IF;
    END IF;

    -- Link: lock it, then see whether it has already paid for this content.
    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN
            outcome := 'link-revoked';
            RETURN;
        END IF;
        -- This must be a separate statement: its snapshot has to be newer than the lock.
        is_charged := NOT EXISTS (SELECT FROM link_contents c WHERE c.link_id = f_link AND c.sha256 = f_sha256);
        IF is_charged THEN
            outcome := link_room(link, 1, f_bytes, own_files, own_bytes);
            IF outcome IS NOT NULL THEN
                RETURN;
            END IF;
        END IF;
    END IF;

    -- Blob: insert it, or lock the row that has this content.
    LOOP
        IF f_key IS NOT NULL THEN
            INSERT INTO blobs (id, sha256, scope, bytes, media_type, key)
            VALUES (f_blob, f_sha256, f_scope, f_bytes, f_media_type, f_key)
            ON CONFLICT (sha256, scope) DO NOTHING RETURNING * INTO blob;
            key_is_used := FOUND;
            EXIT WHEN key_is_used;
        END IF;
        SELECT * INTO blob FROM blobs b WHERE b.sha256 = f_sha256 AND b.scope = f_scope FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- The conflicting row was deleted while this call waited for its lock. With a key, try to insert again.
        IF f_key IS NULL THEN
            outcome := 'need-key';
            RETURN;
        END IF;
    END LOOP;

    -- A blob that has failed or has lost its object takes the new key; the old key goes to the reaper.
    IF NOT key_is_used AND (blob.state = 'failed' OR blob.object_lost) THEN
        IF f_key IS NULL THEN
            outcome := 'need-key';
            RETURN;
        END IF;
        INSERT INTO loose_objects (key, state, not_before) VALUES (blob.key, 'reaping', now());
        UPDATE blobs SET key = f_key, object_lost = false,
            state = CASE state WHEN 'failed' THEN 'pending' ELSE state END,
            problem = CASE state WHEN 'failed' THEN NULL ELSE problem END
        WHERE id = blob.id RETURNING * INTO blob;
        key_is_used := true;
    END IF;

    -- Image: insert it, or lock the one that the owner already has of this blob.
    INSERT INTO images AS i (id, owner_id, blob_id, visibility, title, description, media_type, filenames)
    VALUES (f_image, f_owner, blob.id, f_visibility, f_title, f_description, blob.media_type, ARRAY[f_filename])
    ON CONFLICT ON CONSTRAINT images_owner_id_blob_id_key DO NOTHING
    RETURNING i.id, i.state INTO image_id, image_state;
    is_new_image := FOUND;
    IF NOT is_new_image THEN
        SELECT i.id, i.state INTO image_id, image_state FROM images i
        WHERE i.owner_id = f_owner AND i.blob_id = blob.id FOR NO KEY UPDATE;
    END IF;
    needs_task := is_new_image;
    IF image_state = 'failed' AND blob.state <> 'failed' THEN
        UPDATE images SET state = 'pending', problem = NULL, updated_at = now() WHERE id = image_id;
        needs_task := true;
    END IF;

    is_duplicate := CASE WHEN f_link IS NULL THEN NOT is_new_image ELSE NOT is_charged END;
    -- Content that is new to the link gets a task even when the owner already has it: the receipt must go through the
    -- same states in both cases, or it would reveal what the owner has.
    needs_task := needs_task OR NOT is_duplicate;

    -- Upload and task. An upload is settled at once when nothing is being processed for its image.
    IF f_batch IS NOT NULL THEN
        INSERT INTO batches (id, owner_id, link_id, way) VALUES (f_batch, f_owner, f_link, f_way)
        ON CONFLICT (id) DO NOTHING;
    END IF;
    INSERT INTO uploads (id, owner_id, image_id, link_id, batch_id, position, way, filename, bytes, duplicate, settled,
                         captured_at, store_id, store_name, camera_id, barcode)
    SELECT f_upload, f_owner, admit_file.image_id, f_link, f_batch, f_position, f_way, f_filename, f_bytes,
           is_duplicate,
           NOT needs_task
               AND NOT EXISTS (SELECT FROM uploads u WHERE u.image_id = admit_file.image_id AND NOT u.settled),
           f_captured_at, f_store_id, f_store_name, f_camera_id, f_barcode;
    IF needs_task THEN
        INSERT INTO tasks (id, kind, blob_id, image_id) VALUES (f_task, 'process_image', blob.id, image_id);
        task_id := f_task;
    END IF;

    -- Key: the held row must still be there if the blob takes the key, or if a reservation is returned to the link.
    -- Otherwise the reaper would delete a live object, or return the reservation a second time.
    IF f_key IS NOT NULL AND (key_is_used OR own_files > 0) THEN
        SELECT * INTO held FROM loose_objects l WHERE l.key = f_key AND l.state = 'held' FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001';
        END IF;
    END IF;
    IF key_is_used THEN
        DELETE FROM loose_objects l WHERE l.key = f_key;
    ELSIF f_key IS NOT NULL THEN
        UPDATE loose_objects l
        SET state = 'reaping', not_before = now(), link_id = NULL, reserved_files = 0, reserved_bytes = 0
        WHERE l.key = f_key AND l.state = 'held';
    END IF;

    -- Link, already locked: charge this content and return the reservation.
    IF is_charged THEN
        INSERT INTO link_contents (link_id, sha256, bytes) VALUES (f_link, f_sha256, f_bytes);
    END IF;
    IF is_charged OR own_files > 0 THEN
        UPDATE links l SET
            used_files = l.used_files + is_charged::int,
            used_bytes = l.used_bytes + is_charged::int * f_bytes,
            reserved_files = l.reserved_files - own_files,
            reserved_bytes = l.reserved_bytes - own_bytes
        WHERE l.id = f_link;
    END IF;
    outcome := CASE WHEN is_duplicate THEN 'duplicate' ELSE 'created' END;
END $$;
