"""Batches: many files in one JSON request, and what came in together by whatever way.

json_stream.py  pulls tokens out of a JSON text as it arrives
items.py        its items: the fields, and a file's bytes
service.py      admits the items; pages of batches         queries.py  batches with their uploads
"""
