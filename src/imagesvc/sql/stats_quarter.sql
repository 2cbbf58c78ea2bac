-- stats_quarter: the name of the quarter of an hour that a moment belongs to.
--
-- Uploads are counted by quarters of an hour in UTC: the days of every time zone begin with one, so the days of any
-- zone can be added up from them.
--
-- Parameters
--   moment  any time
--
-- Locks nothing. Returns the start of the quarter in UTC as text, such as 2026-11-20T23:45Z. Names sort by time.
--
-- Called by: stats_of_images, stats_of_uploads, stats/queries.py.

CREATE OR REPLACE FUNCTION stats_quarter(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(date_bin('15 minutes', moment AT TIME ZONE 'UTC', timestamp '2000-01-01'), 'YYYY-MM-DD"T"HH24:MI"Z"')
$$;
