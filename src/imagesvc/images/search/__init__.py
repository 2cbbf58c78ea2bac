"""Search: the images that a caller may see, filtered, sorted, one page at a time.

    router.py      the route
    schemas.py     the query parameters
    visibility.py  the sets of images that a caller may see, each listed by one index
    sql.py         builds the statement, and reads its rows
    geo_index.py   turns a circle on the Earth into index ranges
    service.py     chooses the plans and runs the statements with asyncpg

A search uses up to two of three plans (``sql.Plan``). Filters whose index has the order of the result are read from
that index, one page of rows (``ordered``). Four filters have no such order: words, distance, score, capture time. For
them the first few thousand images are scanned, which finds frequent matches at once (``scan``). If the scan does not
fill the page, matches are rare: the filter's own index collects all of them, and they are sorted (``collect``). Each
plan reads few rows, and none depends on the planner's estimate of how many rows match (docs/decisions/0008).
"""
