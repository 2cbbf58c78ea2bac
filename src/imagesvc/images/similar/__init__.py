"""Near-duplicates of an image among those that a caller may see, by the perceptual hashes of their blobs.

    router.py   the route
    service.py  finds the images
    queries.py  the statements (asyncpg), and their rows
    schemas.py  the response body

The search is exact: bands of the hash (``processing/hash_bands.py``) find every candidate, and each candidate is
compared in full. Visibility is checked for near candidates only, the nearest first (docs/decisions/0006).
"""
