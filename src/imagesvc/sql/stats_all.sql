-- stats_all: all counts of the statistics, folded or not.
--
-- Exact at every moment: the fold moves rows from stats_deltas to stats_counts in one statement, so a reader sees each
-- change once. A name may have several rows; readers add them up.
--
-- Columns: kind, name, count, bytes (stats/models.py lists the kinds).
--
-- Read by: stats/queries.py, metrics/database_gauges.py, the other views.

CREATE OR REPLACE VIEW stats_all AS
    SELECT kind, name, count, bytes FROM stats_counts
    UNION ALL
    SELECT kind, name, count, bytes FROM stats_deltas;
