-- search_grams: cuts text into pieces of three letters for the index that finds parts of words.
--
-- The pieces are all runs of three letters, and shorter runs at both ends of the text. So every run of one to three
-- letters is the beginning of a piece. search_query makes the query for them. Unlike pg_trgm this works for every
-- alphabet under any locale, and for one and two letters (docs/decisions/0008).
--
-- Parameters
--   words  title and description, normalized (images.words)
--   names  filenames, normalized (images.names)
--
-- Locks nothing. Returns the pieces as a tsvector without positions.
--
-- IMMUTABLE, because the index images_grams_idx uses it: a new body needs the index built again. COST 2000
-- makes the planner prefer the index to computing the pieces of each row.
--
-- Called by: images/models.py (images_grams_idx), images/search/sql.py.

CREATE OR REPLACE FUNCTION search_grams(words text, names text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 2000 AS $$
DECLARE
    before_last text := '';
    last text := '';
    letter text;
    grams text[] := '{}';
BEGIN
    FOREACH letter IN ARRAY string_to_array(words || E'\n' || names, NULL) LOOP
        grams := grams || (before_last || last || letter);
        before_last := last;
        last := letter;
    END LOOP;
    -- The last two letters begin shorter pieces.
    RETURN array_to_tsvector(grams || (before_last || last) || last);
END $$;
