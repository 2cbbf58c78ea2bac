"""imagesvc: a self-hosted image intake service.

The rooms, and which way imports point (import-linter checks it)::

    main | worker | cli  >  wiring  >  features  >  http  >  tasks | fetching | storage | db
        >  errors | settings | observability

    main.py       the web process            worker.py   the background process
    wiring.py     builds and closes the parts that both use
    cli/          the imagesvc command
    accounts/     who is calling             links/      invitations to upload
    uploads/      the ways in; admits a file images/     images and blobs: search, read, change
    processing/   pure: bytes in, facts out  stats/      counts that are exact at once
    resizes/      one-off sizes on request
    webhooks/     tells URLs what has happened
    tasks/        durable background work, and the reaper of loose objects
    http/         problems, ranges, pages, health, the docs page
    fetching/     guarded HTTP to where strangers' URLs lead
    storage.py    S3                         db.py       PostgreSQL
    metrics/      the service in numbers
    embedded.py   the local servers of `imagesvc up`
    client/       the Python client behind the command line; imports nothing of the others

Inside a feature: router | handlers > service | schemas > queries > models.
"""
