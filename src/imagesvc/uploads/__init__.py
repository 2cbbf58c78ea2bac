"""Uploads by users and through links. Every way of uploading ends in one database function, ``admit_file``.

    router.py         multipart and raw uploads, through a link or with a credential
    service.py        one upload request: its files one after the other
    multipart.py      reads multipart/form-data as it streams in
    batches/          JSON batches with base64 files; lists of batches
    tus/              resumable uploads
    check/            which contents need not be sent
    admission.py      admits one file
    incoming_file.py  one file while it is received: counted, hashed, recognized, stored under a held key
    upload_request.py one request: its source, body, size and results
    source.py         where an upload came from, and the limits that apply to it
    file_context.py   the fields about a file: store, camera, barcode, capture time, title
    concurrency.py    limits concurrent uploads per link and per account, and the memory they use
    memory_budget.py  the memory that all uploads of a process share
    limits.py         the limits as clients see them
    results.py        the results of one request, and the status of the answer
    account_data.py   the rows that belong to an account
    queries.py        statements of admission (asyncpg)
    function_call.py  calls of database functions with named parameters
    models.py         tables: uploads, batches; the list of ways to upload a file
    schemas.py        response bodies, for the OpenAPI page
    errors.py         failures of one file or one request

``router`` turns a request into streams of bytes with their context. ``admission`` streams each file into storage and
then calls ``admit_file``, which commits everything in one transaction. A crash before that leaves at most a row in
``loose_objects``, which the reaper deletes with its object. A crash after it loses nothing.
"""
