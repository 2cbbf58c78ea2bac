"""Batches: many files in one JSON request, and the uploads of one request by any way.

router.py       the routes
service.py      admits the items; pages of batches
json_stream.py  reads tokens of a JSON text as it arrives
items.py        the items: their fields, and the bytes of a file
queries.py      batches with their uploads (asyncpg)
schemas.py      request and response bodies, for the OpenAPI page
"""
