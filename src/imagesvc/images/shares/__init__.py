"""Shares: a secret URL that shows one image, as a rendition or as the original, without an account.

    router.py   routes for the owner, and the shared file
    service.py  creates, lists and withdraws shares; opens a share by its token
    queries.py  statements: asyncpg for opening a share, the ORM for the rest
    schemas.py  request and response bodies
    errors.py   failures of these routes

The token is a JWT whose ``jti`` is the id of the row, and the row is read at each request. A share ends when it is
withdrawn, when it expires, when its image or its owner is deleted, and while its owner is disabled.
"""
