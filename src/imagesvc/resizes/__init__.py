"""Resizes on request: one size of one image, made by a worker and available under a token.

    router.py          the routes
    request_reader.py  reads a JSON or multipart request as it streams in
    service.py         accepts a request; returns status and result
    resize_task.py     the task's handler
    expiry.py          expires results, and deletes old rows
    handlers.py        the kind of task, with its retry policy
    account_data.py    what belongs to an account
    queries.py         statements: asyncpg for the status, the ORM for the rest
    models.py          table: resizes
    schemas.py         request and response bodies
    errors.py          failures of these routes

The token is a UUIDv5 of owner, content and parameters, so repeated requests of one caller do the work once::

    pending --> started --> success   the result is stored, the source is deleted
                        --> rejected  the file is at fault; the same request gets the same result
                        --> failed    the service is at fault; the same request starts again
    success, rejected, failed --expiry--> expired (410) --expiry, later--> no row (404)
    expired, failed --same request--> pending

A file in the request is stored under a key that the row contains until the work has ended. For an image, the
unfinished task refers to the blob and so keeps it. ``task_id`` names the one task that may write: an earlier task of
the same token finds another id there and writes nothing.
"""
