"""Resumable uploads: tus 1.0 with core, creation, creation-with-upload, expiration, termination and checksum.

docs/resumable.md describes the protocol: its states, the interleavings that it handles, and what a crash leaves.

    router.py          the routes, for users and for links
    headers.py         parses and formats the headers of tus
    checksum.py        Upload-Checksum
    creation.py        create; create with all bytes, in one pass
    service.py         append, status, terminate
    append.py          receives the bytes of one PATCH and stores them
    request_stream.py  the bytes of one request, until it ends or a newer request waits
    handover.py        a newer request asks an older one to stop, and waits for it
    finish.py          hashes, checks and admits a complete upload (the task ``finish_resumable``)
    abort.py           ends an upload that will not become an image
    expiry.py          expires abandoned uploads, deletes old results
    shielded.py        work that finishes even if its request is cancelled
    handlers.py        the task kind, with its retry policy
    openapi.py         describes the headers for the OpenAPI page
    queries.py         statements and their rows (asyncpg)
    models.py          table: resumable uploads
    errors.py          failures of these routes

States of an upload::

    receiving --last byte counted--> finishing --admitted--> done --time--> deleted
        |                                |
        +-- no image, DELETE, expiry ----+-- no image, other digest, link revoked --> refused --time--> deleted
"""
