"""Invitations: a signed, expiring, revocable, limited right to upload without an account.

    router.py        routes for owners; `CurrentLink`, the link that a path or header names
    service.py       create, change, revoke; opens a link for uploads
    tokens.py        signs and verifies tokens
    account_data.py  what belongs to an account
    queries.py       statements: asyncpg for opening a link, the ORM for the rest
    models.py        tables: links, and the contents that each has charged
    schemas.py       request and response bodies
    examples.py      examples for the OpenAPI page
    errors.py        failures of these routes; refusals of the admission functions by their slug

The token is a JWT whose ``jti`` is the row's id. It is verified first, then the row is read: revocation, expiry and
limits are there. Counters change only in the database functions of admission (``sql/``), under the link's lock.
"""
