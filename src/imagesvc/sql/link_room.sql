-- link_room: says whether a link has room for more files and bytes.
--
-- Pure: reads nothing but its arguments, and locks nothing. The caller holds the lock on the link's row.
--
-- Parameters
--   link          the row of links, as read under its lock
--   wanted_files  files to admit or reserve
--   wanted_bytes  bytes to admit or reserve
--   own_files     files that the caller itself has reserved on this link; its reservation does not count against it
--   own_bytes     bytes that the caller itself has reserved on this link
--
-- Returns NULL when there is room, else the slug of the problem:
--   link-used-up         the admitted files or bytes have reached the limit (410)
--   link-room-too-small  the file is larger than the bytes that are left (413)
--   link-reserved        there is room only if uploads in progress give up their reservations (503, retry later)
--
-- Called by: admit_file, reserve_on_link, create_resumable.

CREATE OR REPLACE FUNCTION link_room(
    link links,
    wanted_files bigint,
    wanted_bytes bigint,
    own_files bigint,
    own_bytes bigint
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN link.used_files + wanted_files > link.max_files OR link.used_bytes >= link.max_bytes
            THEN 'link-used-up'
        WHEN link.used_bytes + wanted_bytes > link.max_bytes
            THEN 'link-room-too-small'
        WHEN link.used_files + link.reserved_files - own_files + wanted_files > link.max_files
          OR link.used_bytes + link.reserved_bytes - own_bytes + wanted_bytes > link.max_bytes
            THEN 'link-reserved'
    END
$$;
