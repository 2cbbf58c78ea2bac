"""Shares: one image for whoever has the token, as a rendition or as the original.

    router.py   routes for the owner, and the shared image
    service.py  creates, lists, withdraws, serves
    queries.py  statements (asyncpg for serving, the ORM for the rest)
    schemas.py  request and response bodies
    errors.py   failures of these routes

The token is a JWT that names the row, and the row decides at each request. A share ends when it is withdrawn, when it
expires, and with its image, its owner, or the owner being disabled.
"""
