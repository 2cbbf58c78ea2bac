"""Accounts: who is calling, with which credential, and what each credential may do.

    router.py        the routes; `CurrentCaller` and `OptionalCaller` for every other feature
    service.py       the caller behind a credential: admin token, API key or access token; scopes and roles
    users.py         accounts: create, change, delete
    logins.py        exchanges a password for an access token; slows failed logins
    passwords.py     rules for passwords, and Argon2id
    keys.py          API keys
    account_data.py  how a feature registers what belongs to an account
    queries.py       statements: asyncpg for credentials, which every request checks; the ORM for the rest
    models.py        tables: users, API keys, failed logins
    schemas.py       request and response bodies
    errors.py        failures of these routes

States of an account, and who changes them::

    enabled <--admin--> disabled                   access tokens end for good; keys, links and shares while disabled
    either  --admin or the account--> deleted      nobody sees its data from then on; a task removes the rows in
                                                   batches (operations/account_removal.py) and survives a crash
"""
