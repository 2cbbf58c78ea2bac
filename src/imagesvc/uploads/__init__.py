"""The ways in. All of them end in the same function: *admit one file* (``Admission.admit``).

    router.py         multipart and raw uploads, through a link or with a credential
    service.py        one upload request: its files one after the other
    multipart.py      reads multipart/form-data as it streams in
    batches/          JSON batches with base64 files; lists of batches
    tus/              resumable uploads
    check/            which contents need not be sent
    admission.py      admits one file
    incoming_file.py  one file on its way in: counted, hashed, recognized, stored under a held key
    source.py         where an upload came from, and the limits that apply to it
    file_context.py   the fields about a file: store, camera, barcode, capture time, title
    concurrency.py    limits concurrent uploads per link and per account, and the memory they use
    memory_budget.py  the memory that all uploads of a process share
    limits.py         the limits as told to clients
    results.py        the results of one request, and its status
    account_data.py   what belongs to an account
    queries.py        statements: calls of the database functions in ``sql/`` (asyncpg)
    models.py         tables: uploads, batches
    schemas.py        response bodies, for the OpenAPI page
    errors.py         failures of one file or one request

``router`` turns a request into an async iterator of bytes and its context; ``admission`` streams it into storage and
ends with one call of ``admit_file``.
"""
