"""Upload links: a signed, expiring, revocable right to upload, with limits and without an account.

    router.py        routes for owners; `CurrentLink`, the link that a path or header names
    service.py       creates, changes and revokes links; opens a link for a request
    account_data.py  removes an account's links
    queries.py       statements: asyncpg for opening a link, the ORM for the rest
    models.py        tables: links, and the contents that each link has charged
    schemas.py       request and response bodies
    examples.py      examples for the OpenAPI document
    errors.py        failures of these routes; the refusals of the admission functions by slug

A link is open, expired, revoked or used up (`schemas.link_state`). Its token is a JWT whose ``jti`` is the id of the
row. The signature is verified first; the row is read at each request and has the revocation, the expiry and the limits.
Only the database functions of admission (``sql/``) change the counters, under a lock on the link's row.
"""
