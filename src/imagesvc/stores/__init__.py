"""The store master: one store at a time, or a CSV file of them.

router.py    the routes
service.py   put, get, list, import
csv_file.py  parses the CSV file as it streams in
queries.py   statements: asyncpg for writes, the ORM for reads
models.py    tables: stores, changed time zones
schemas.py   request and response bodies
errors.py    failures of these routes
"""
