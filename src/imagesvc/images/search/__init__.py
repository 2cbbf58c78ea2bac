"""Search: which images a caller may see, filtered, sorted, one page at a time.

    router.py      the route
    schemas.py     the query parameters
    visibility.py  the sets of images that a caller may see, each listed by one index
    sql.py         builds the statement
    geo_index.py   turns a circle on the Earth into index ranges
    service.py     runs the statement with asyncpg

Filters whose index has the order of the answer are read from it, one page's worth. Four filters have no such order:
words, distance, score, capture time. For them the newest few thousand images are scanned first, which finds frequent
matches at once. If that does not fill the page, matches are rare, and they are collected by the filter's own index and
sorted. Neither way reads much, and neither depends on the planner's estimate of how many rows match.
"""
