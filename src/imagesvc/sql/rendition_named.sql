-- rendition_named: the rendition of a blob that serves a preset in a format.
--
-- Presets that are not smaller than the picture all show the whole picture, so one rendition serves them all. Workers
-- make only one of them (processing/renditions.py). The limits here are those of processing/contract.py.
--
-- Parameters
--   f_blob             id of the blob
--   f_width, f_height  size of the picture as displayed, in pixels; NULL before it is processed
--   f_preset           thumb, medium, large or full
--   f_format           webp, jpg or avif
--
-- Locks nothing. Returns one row or none: the preset's own rendition or, without one, one that shows the whole picture
-- when the preset would.
--
-- Called by: images/reads.py, images/shares/queries.py.

CREATE OR REPLACE FUNCTION rendition_named(
    f_blob uuid, f_width bigint, f_height bigint, f_preset text, f_format text
) RETURNS SETOF renditions LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.* FROM renditions r
    WHERE r.blob_id = f_blob AND r.format = f_format
      AND (r.preset = f_preset
           OR r.width = f_width AND r.height = f_height
              AND CASE f_preset WHEN 'thumb' THEN greatest(f_width, f_height) <= 320
                                WHEN 'medium' THEN greatest(f_width, f_height) <= 1024
                                WHEN 'large' THEN greatest(f_width, f_height) <= 2048
                                ELSE true END)
    ORDER BY r.preset = f_preset DESC, r.bytes, r.preset LIMIT 1
$$;
