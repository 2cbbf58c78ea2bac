"""Batches: many files in one JSON request, and lists of the uploads of any request.

router.py       the routes
service.py      admits the items; reads batches and pages of batches
json_stream.py  reads the tokens of a JSON text while it arrives
items.py        the items: their fields, and the bytes of their files
queries.py      batches with their uploads (asyncpg)
schemas.py      request and response bodies, for the OpenAPI page
"""
