-- kilometres_between: the distance between two places over the ground.
--
-- Great-circle distance by the haversine formula, on a sphere with the Earth's mean radius (6371.0088 km).
--
-- Parameters
--   latitude, longitude, other_latitude, other_longitude  degrees
--
-- Locks nothing. Returns kilometres, or NULL when an argument is NULL.
--
-- Called by: images/search/sql.py.

CREATE OR REPLACE FUNCTION kilometres_between(
    latitude double precision,
    longitude double precision,
    other_latitude double precision,
    other_longitude double precision
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 2 * 6371.0088 * asin(sqrt(least(1, power(sind((other_latitude - latitude) / 2), 2)
        + cosd(latitude) * cosd(other_latitude) * power(sind((other_longitude - longitude) / 2), 2))))
$$;
