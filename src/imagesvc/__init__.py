"""imagesvc: a self-hosted image intake service.

The packages and modules, and the direction of imports between them (import-linter checks it)::

    main | worker | cli  >  wiring  >  web  >  operations > resizes > jobs > images > uploads > webhooks | stats
        > stores > links > accounts  >  http | processing  >  tasks | fetching  >  storage  >  schema_version | pooler
        >  db  >  db_connections  >  errors | settings  >  cores

Processes and what they are built from:

    __main__.py          `python -m imagesvc`
    main.py              the web process: one FastAPI application
    worker.py            the background process: arq, the fair queue and periodic work
    wiring.py            builds and closes the parts of both processes
    models.py            all tables, for the comparison with the migrations
    cli/                 the imagesvc command

Features, each with its router, service, queries and models:

    accounts/            authenticates callers; users, API keys and logins
    links/               invitations to upload without an account
    stores/              the store master
    stats/               exact statistics, updated with each change
    webhooks/            signed notifications to URLs that users register
    uploads/             uploads by multipart, raw body, JSON batch and tus; admission of one file
    images/              images and blobs: processes, shows, searches, edits and shares them
    jobs/                downloads images by URL, and reports visits by store and day
    resizes/             resizes one image on request
    operations/          dead letters, reprocessing, audits, removal of accounts
    web/                 pages for people: the upload page of a link, and the dashboard

Shared modules:

    processing/          metadata, renditions and scores of image bytes, without other services; the sandbox
    http/                problems, paging, ranges, idempotency, health, OpenAPI
    tasks/               durable background work
    fetching/            HTTP requests to URLs that callers name
    storage/             the S3 bucket, and keys without an owner
    sql/                 the current text of every database function, trigger and view
    db.py                PostgreSQL: asyncpg for hot paths and database functions, the ORM for everything else
    db_connections.py    what a connection is opened with, directly or behind a pooler
    pooler.py            checks the pooler before the database, if there is one
    schema_version.py    upgrades the schema, and checks its version when a process starts
    keyring.py           signing and encryption keys, one derived per purpose
    signed_tokens.py     JWTs for access tokens, links and shares
    metrics/             Prometheus metrics
    errors.py            the base class of expected failures
    settings.py          the environment, read once
    cores.py             how many cores the process may use
    observability.py     JSON logs without secrets

Independent of the service:

    client/              the Python client that the command line uses
    embedded/            PostgreSQL, Valkey and SeaweedFS for `imagesvc up`
"""
