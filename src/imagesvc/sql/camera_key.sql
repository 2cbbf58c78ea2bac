-- camera_key: the key by which spellings of one camera name are equal: without differences of case and width.
--
-- Parameters
--   name  as the file has it, such as `Redmi Note 8`, `REDMI NOTE 8` or full-width letters
--
-- Locks nothing. Returns NULL for NULL.
--
-- IMMUTABLE, because an index of images uses it: a new body needs the index built again.
--
-- Called by: stats/queries.py, stats_cameras, images/search/sql.py, images/models.py (images_camera_created_at_id_idx).

CREATE OR REPLACE FUNCTION camera_key(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(normalize(name, NFKC))
$$;
