-- lock_usable_link: locks a link that may still take uploads.
--
-- A link is usable unless it was revoked or its owner is disabled. Expiry is not checked here: it is judged when the
-- request begins, so that an upload that started in time can finish.
--
-- Parameters
--   wanted  id of the link
--
-- Locks: the link's row, FOR NO KEY UPDATE. The link is first in the lock order, so callers call this first. The
--   owner's row in users is read without a lock.
--
-- Returns the link's row, or no row when the link does not exist or is not usable.
--
-- Called by: admit_file, reserve_on_link, create_resumable.

CREATE OR REPLACE FUNCTION lock_usable_link(wanted uuid) RETURNS SETOF links LANGUAGE sql AS $$
    SELECT l.* FROM links l JOIN users u ON u.id = l.owner_id
    WHERE l.id = wanted AND l.revoked_at IS NULL AND u.disabled_at IS NULL
    FOR NO KEY UPDATE OF l
$$;
