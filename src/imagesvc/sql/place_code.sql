-- place_code: maps a place to one integer, such that places that are near each other mostly have near integers.
--
-- The place is a point of the unit sphere. Each of its three coordinates is cut to 20 bits (about 12 m), and the bits
-- are interleaved (Morton order). A circle is then a few ranges of a B-tree index (images/search/geo_index.py). Neither
-- the date line nor a pole is a special case.
--
-- Parameters
--   latitude, longitude  degrees
--
-- Locks nothing. Returns a number of 60 bits, or NULL when either is NULL.
--
-- IMMUTABLE, because the generated column images.place uses it: a new body needs the column written again.
-- images/search/geo_index.py computes ranges of the same codes and must agree.
--
-- Called by: images/models.py (images.place).

CREATE OR REPLACE FUNCTION place_code(latitude double precision, longitude double precision) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    axis double precision;
    step bigint;
    code bigint := 0;
BEGIN
    IF latitude IS NULL OR longitude IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH axis IN ARRAY ARRAY[
        cosd(latitude) * cosd(longitude), cosd(latitude) * sind(longitude), sind(latitude)
    ] LOOP
        -- -1 to 1 becomes 0 to 2^20 - 1
        step := least(greatest(floor((axis + 1) * 524288), 0), 1048575)::bigint;
        -- spread the 20 bits: two zero bits before each
        step := (step | (step << 32)) & x'001f00000000ffff'::bigint;
        step := (step | (step << 16)) & x'001f0000ff0000ff'::bigint;
        step := (step | (step << 8)) & x'100f00f00f00f00f'::bigint;
        step := (step | (step << 4)) & x'10c30c30c30c30c3'::bigint;
        step := (step | (step << 2)) & x'1249249249249249'::bigint;
        code := (code << 1) | step;
    END LOOP;
    RETURN code;
END $$;
