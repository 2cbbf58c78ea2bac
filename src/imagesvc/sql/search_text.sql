-- search_text: normalizes text for the search, so that spellings that differ only in case, character width or Unicode
-- composition compare equal.
--
-- Parameters
--   written  any text
--
-- Locks nothing. Returns the text in lower case and in Unicode normal form NFKC. Normalized twice: lower case may
-- leave the normal form.
--
-- IMMUTABLE, because the generated column images.words uses it: a new body needs the column written again.
--
-- Called by: images/models.py (images.words), images/search/sql.py.

CREATE OR REPLACE FUNCTION search_text(written text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT normalize(lower(normalize(written, NFKC)), NFKC)
$$;
