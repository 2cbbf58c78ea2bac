-- create_resumable: creates a resumable upload (tus) and, through a link, reserves its room.
--
-- Parameters, in order
--   f_id               id for the new upload
--   f_owner            user who will own the image; through a link, the link's owner
--   f_link             id of the link; NULL for an upload by a user
--   f_length           declared size in bytes (Upload-Length)
--   f_metadata         the Upload-Metadata header as it was sent
--   f_context          what was read from it: filename, title, description, visibility, captured_at, store_id, …
--   f_sha256           SHA-256 that the sender declares; NULL: none
--   f_turn             first value of `turn`: `taken` when this request also brings bytes, else `free`
--   f_idle_seconds     the upload expires after so many seconds without a request
--   f_most_unfinished  how many unfinished uploads an owner (through one link) may have
--
-- Locks, in this order: the link's row (FOR NO KEY UPDATE), only with f_link; then it inserts the upload.
--
-- Returns one row (refusal, expires_at). `refusal` is NULL when the upload was created. Otherwise nothing is written
-- and `refusal` is the slug of the problem: link-revoked, one that link_room returns, or too-many-unfinished.
--
-- Called by: uploads/tus/queries.py.

CREATE OR REPLACE FUNCTION create_resumable(
    f_id uuid,
    f_owner uuid,
    f_link uuid,
    f_length bigint,
    f_metadata text,
    f_context jsonb,
    f_sha256 bytea,
    f_turn text,
    f_idle_seconds double precision,
    f_most_unfinished bigint,
    OUT refusal text,
    OUT expires_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    link links;
BEGIN
    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN
            refusal := 'link-revoked';
            RETURN;
        END IF;
        refusal := link_room(link, 1, f_length, 0, 0);
        IF refusal IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;

    -- A bound against hoarding. It is not exact: the owner's row is not locked, so creations by a user at the same
    -- moment do not see each other.
    IF f_most_unfinished <= (SELECT count(*) FROM (
        SELECT FROM resumable_uploads r
        WHERE r.owner_id = f_owner AND r.link_id IS NOT DISTINCT FROM f_link AND r.state IN ('receiving', 'finishing')
        LIMIT f_most_unfinished) AS unfinished)
    THEN
        refusal := 'too-many-unfinished';
        RETURN;
    END IF;

    IF f_link IS NOT NULL THEN
        UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_length
        WHERE id = f_link;
    END IF;
    INSERT INTO resumable_uploads AS r
        (id, owner_id, link_id, length, metadata, context, expected_sha256, turn, expires_at)
    VALUES (f_id, f_owner, f_link, f_length, f_metadata, f_context, f_sha256, f_turn,
            now() + make_interval(secs => f_idle_seconds))
    RETURNING r.expires_at INTO expires_at;
END $$;
