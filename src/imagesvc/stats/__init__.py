"""Statistics: counts that are exact at every moment, at a cost that does not grow with the number of images.

    models.py    the tables: appended changes (stats_deltas) and folded counts (stats_counts)
    queries.py   the statements: the report and the fold, by asyncpg
    service.py   reads the report, and folds
    schemas.py   what the routes return
    router.py    GET /v1/stats and its parts

Triggers append each change of a count to ``stats_deltas``, in the transaction that makes the change. In the background,
every worker folds appended rows into ``stats_counts``. The views and the report add both tables, so folding does not
change what they return. The triggers and views are in ``sql/`` (``stats_*.sql``); docs/decisions/0002 has the reasons.
"""
