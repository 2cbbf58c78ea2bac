-- rendition_names: the renditions of a blob under all names that they are listed by.
--
-- These are the renditions that were made, and the presets thumb, medium and large where a rendition of the whole
-- picture serves them (rendition_named).
--
-- Parameters
--   f_blob             id of the blob
--   f_width, f_height  size of the picture as displayed, in pixels; NULL before it is processed
--
-- Locks nothing. Returns one row (preset, format, width, height, bytes) for each name.
--
-- Called by: images/reads.py, uploads/batches/queries.py.

CREATE OR REPLACE FUNCTION rendition_names(f_blob uuid, f_width bigint, f_height bigint)
RETURNS TABLE (preset text, format text, width bigint, height bigint, bytes bigint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.preset, r.format, r.width, r.height, r.bytes FROM renditions r WHERE r.blob_id = f_blob
    UNION ALL
    SELECT named.preset, whole.format, whole.width, whole.height, whole.bytes
    FROM (
        SELECT DISTINCT ON (r.format) r.format, r.width, r.height, r.bytes FROM renditions r
        WHERE r.blob_id = f_blob AND r.width = f_width AND r.height = f_height
        ORDER BY r.format, r.bytes, r.preset
    ) whole
    JOIN (VALUES ('thumb', 320), ('medium', 1024), ('large', 2048)) AS named (preset, long_side)
        ON greatest(f_width, f_height) <= named.long_side
    WHERE NOT EXISTS (
        SELECT FROM renditions own
        WHERE own.blob_id = f_blob AND own.preset = named.preset AND own.format = whole.format)
$$;
