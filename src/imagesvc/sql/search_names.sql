-- search_names: normalizes an image's filenames for the search, like search_text.
--
-- Parameters
--   names  filenames
--
-- Locks nothing. Returns the filenames, one a line, normalized.
--
-- IMMUTABLE, because the generated column images.names uses it: a new body needs the column written again.
--
-- Called by: images/models.py (images.names).

CREATE OR REPLACE FUNCTION search_names(names text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT normalize(lower(normalize(array_to_string(names, E'\n'), NFKC)), NFKC)
$$;
