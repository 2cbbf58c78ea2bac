-- reserve_on_link: reserves room on a link for a large file and records the key that the file is stored under.
--
-- Called before the first byte of a large file goes to S3. The reservation and the `held` row are made together, so a
-- crash at any later moment leaves a row from which the reaper deletes the object and returns the reservation.
--
-- Parameters
--   f_link          id of the link
--   f_key           key of the object that is about to be written
--   f_s3_upload_id  id of the S3 multipart upload of that key
--   f_bytes         size of the file; an upper bound when the size is not known
--   f_is_exact      whether f_bytes is the exact size (declared) and not an upper bound
--   f_seconds       for how long the writer may begin S3 requests for the key, in seconds
--
-- Locks, in this order: the link's row (FOR NO KEY UPDATE); then it inserts the loose object.
--
-- Returns NULL when the room is reserved. Otherwise nothing is written and it returns the slug of the problem:
-- link-revoked, or one that link_room returns.
--
-- Called by: uploads/queries.py.

CREATE OR REPLACE FUNCTION reserve_on_link(
    f_link uuid,
    f_key text,
    f_s3_upload_id text,
    f_bytes bigint,
    f_is_exact boolean,
    f_seconds double precision
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    link links;
    refusal text;
BEGIN
    SELECT * INTO link FROM lock_usable_link(f_link);
    IF NOT FOUND THEN
        RETURN 'link-revoked';
    END IF;

    -- A file of unknown size reserves at most what the link has left. Admission checks its real size.
    IF NOT f_is_exact THEN
        f_bytes := least(f_bytes, link.max_bytes - link.used_bytes);
    END IF;
    refusal := link_room(link, 1, f_bytes, 0, 0);
    IF refusal IS NOT NULL THEN
        RETURN refusal;
    END IF;

    UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_bytes
    WHERE id = f_link;
    INSERT INTO loose_objects (key, state, not_before, s3_upload_id, link_id, reserved_files, reserved_bytes)
    VALUES (f_key, 'held', now() + make_interval(secs => f_seconds), f_s3_upload_id, f_link, 1, f_bytes);
    RETURN NULL;
END $$;
