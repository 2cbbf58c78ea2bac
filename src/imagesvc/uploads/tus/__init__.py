"""Resumable uploads: tus 1.0 with core, creation, creation-with-upload, expiration, termination and checksum.

docs/resumable.md describes the protocol, its states, the interleavings that it survives and what a crash leaves.

    router.py          headers in, headers out; for users and for links
    headers.py         tus headers, read and written
    checksum.py        Upload-Checksum
    service.py         create, append, status, terminate
    append.py          one PATCH: the tail it starts with, the parts it stores, the tail it leaves
    request_stream.py  the bytes of one request: stalls, cuts, too many bytes
    handover.py        a newer request asks an older one to stop, and waits for it
    finish.py          all bytes are there: hash, check, admit (the task ``finish_resumable``)
    abort.py           ends an upload that will not become an image
    expiry.py          expires abandoned uploads, deletes old results
    shielded.py        work that finishes although its request is cancelled
    handlers.py        the kind of task, with its retry policy
    openapi.py         the routes for the OpenAPI page
    queries.py         statements: calls of the database functions in ``sql/`` (asyncpg)
    models.py          table: resumable uploads
    errors.py          failures of these routes

States of an upload::

    receiving --last byte counted--> finishing --admitted--> done --time--> deleted
        |                                |
        +-- no image, DELETE, expiry ----+-- no image, other digest, link revoked --> refused --time--> deleted
"""
