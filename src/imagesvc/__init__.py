"""imagesvc: a self-hosted image intake service.

The rooms, and which way imports point (import-linter checks it)::

    main | worker | cli  >  wiring  >  operations > resizes > jobs > images > uploads > webhooks | stats > stores
        > links > accounts  >  http | processing  >  tasks | fetching  >  storage  >  db  >  errors | settings

Processes and what they are built from:

    __main__.py          `python -m imagesvc`
    main.py              the web process: one FastAPI application
    worker.py            the background process: arq, the fair queue and periodic work
    wiring.py            builds and closes the parts that both use
    models.py            every table, gathered for migrations
    cli/                 the imagesvc command

Features, each with its router, service, queries and models:

    accounts/            users, API keys, logins: who is calling and what they may do
    links/               invitations to upload without an account
    stores/              the store master
    stats/               statistics that are exact and immediate
    webhooks/            signed notifications to URLs of users
    uploads/             the ways in: multipart, raw, JSON batches, tus; admits one file
    images/              images and blobs: read, search, edit, share, process
    jobs/                downloads images by URL, reports visits by store and day
    resizes/             one-off sizes on request
    operations/          dead letters, reprocessing, audits, removal of accounts

What they share:

    processing/          pure: bytes in, facts and renditions out; the sandbox
    http/                problems, paging, ranges, idempotency, health, OpenAPI
    tasks/               durable background work
    fetching/            HTTP to URLs that strangers name
    storage/             the S3 bucket, and keys that nothing owns
    sql/                 the current text of every database function, trigger and view
    db.py                PostgreSQL: asyncpg for hot paths and database functions, the ORM for everything else
    schema_version.py    upgrades the schema, and checks its version when a process starts
    keyring.py           the signing keys, one derived per purpose
    signed_tokens.py     JWTs for access tokens, links and shares
    metrics/             Prometheus metrics
    errors.py            the base of every expected failure
    settings.py          the environment, read once
    observability.py     JSON logs without secrets

On their own:

    client/              the Python client behind the command line; imports nothing of the service
    embedded/            PostgreSQL, Valkey and SeaweedFS for `imagesvc up`
"""
