-- search_query: makes the index query for texts that contain a given text.
--
-- Every match contains the text's pieces of three letters, so the query never misses one. For up to three letters it is
-- exact; for longer texts the caller compares the whole text too.
--
-- Parameters
--   wanted  text to look for, normalized by search_text
--
-- Locks nothing. Returns a tsquery for search_grams: all pieces of three letters, or one prefix for a shorter text.
-- Quotes and backslashes in the text are escaped.
--
-- Called by: images/search/sql.py.

CREATE OR REPLACE FUNCTION search_query(wanted text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(
        '''' || replace(replace(substr(wanted, n, 3), '\', '\\'), '''', '''''') || ''''
            || CASE WHEN length(wanted) < 3 THEN ':*' ELSE '' END, ' & '
    )::tsquery
    FROM generate_series(1, greatest(length(wanted) - 2, 1)) AS n
$$;
