"""The report of visits: images, perimeter, seconds and score by store and day.

router.py   the route
service.py  runs the statement with asyncpg
queries.py  the statement
schemas.py  the response body
"""
