"""Accounts: authenticates callers, and manages users, passwords and API keys.

    router.py        routes; `CurrentCaller` and `OptionalCaller` for the routes of other features
    service.py       the caller behind a credential: admin token, API key or access token; scopes and roles
    users.py         creates, changes and deletes accounts
    logins.py        exchanges a password for an access token; limits failed logins
    passwords.py     rules for passwords, and Argon2id
    sessions.py      signs browsers in to the dashboard
    keys.py          creates and revokes API keys
    account_data.py  lets each feature register the tables that hold data of an account
    queries.py       statements: asyncpg for credentials, which every request checks; the ORM for the rest
    models.py        tables: users, API keys, failed logins, sessions
    schemas.py       request and response bodies
    errors.py        failures of these routes

States of an account, and who changes them::

    enabled <--admin--> disabled                   access tokens end for good; keys, links and shares while disabled
    either  --admin or the account--> deleted      its data is invisible at once; a task removes the rows in batches
                                                   (operations/account_removal.py) and continues after a crash
"""
